"""A 2-D CNN on the middle frame."""

from torch import Tensor, nn

from models.video import encoders
from models.video._frames import FrameCnn, pool


@encoders.register
class Frame(nn.Module):
    """ResNet-18 up to its third stage on the middle frame, mean and maximum over positions, linear.

    shape: (frames, height, width, channels) of one input; other sizes work too.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        pretrained: bool | str = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.cnn = FrameCnn(shape[3], pretrained, frozen)
        self.project = nn.Linear(2 * self.cnn.channels, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """Map (batch, frames, height, width, 3) to (batch, channels, height / 16, width / 16)."""
        return self.cnn(x[:, x.shape[1] // 2])

    def forward(self, x: Tensor) -> Tensor:
        return self.project(pool(self.feature_map(x)))
