"""A 2-D CNN on the middle frame."""

from torch import Tensor, nn

from models.video import encoders
from models.video._frames import FrameCnn, pool


@encoders.register
class Frame(nn.Module):
    """ResNet-18 up to its third stage on the middle frame, mean and maximum over positions, linear.

    shape: (frames, height, width, channels) of one input; other sizes work too. pretrained: True downloads
    the published weights of the ResNet; a path is a file of weights; False: random weights. frozen: the
    ResNet is not trained.
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

    def feature_map(self, video: Tensor) -> Tensor:
        """Map the middle frame to (batch, channels, height / 16, width / 16), the sizes rounded up."""
        middle_frame = video[:, video.shape[1] // 2]
        return self.cnn(middle_frame)

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.project(pool(self.feature_map(video)))
