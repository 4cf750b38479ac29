"""Several frames: a 2-D CNN on each, averaged over time."""

from torch import Tensor, nn

from models.video import encoders
from models.video._frames import FrameCnn, pooled


@encoders.register
class CnnAvg(nn.Module):
    """ResNet-18 up to its third stage on every frame, linear, mean over time, linear.

    shape: (frames, height, width, 3) of one input; none is built in, so any size may come.
    """

    def __init__(self, shape: tuple[int, int, int, int], dim: int) -> None:
        super().__init__()
        self.cnn = FrameCnn()
        self.frame = nn.Linear(2 * self.cnn.channels, dim)
        self.project = nn.Linear(dim, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) to (batch, channels, height / 16, width / 16), their mean."""
        return self.cnn(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.frame(pooled(self.cnn(x.flatten(0, 1))))  # (B N, dim)
        return self.project(y.relu().unflatten(0, x.shape[:2]).mean(1))
