"""The video network of AVE-Net: convolutions on the middle frame."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.parts.avenet import Head, Tower
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class AveNet(nn.Module):
    """Four blocks of two 3x3 convolutions, max-pool over all positions, linear, ReLU, linear.

    shape: (frames, height, width, channels) of one input; other sizes work too. Source: Objects that Sound
    (arXiv 1712.06651), which has width 64, and embeddings of 128 numbers.
    """

    def __init__(self, shape: tuple[int, int, int, int], dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        self.tower = Tower(shape[3], width)
        self.normalize = Normalize(shape[3])
        self.head = Head(self.tower.channels, dim)

    def feature_map(self, video: Tensor) -> Tensor:
        """Map the middle frame to (batch, 8 `width`, height / 16, width / 16), the sizes rounded up."""
        middle_frame = video[:, video.shape[1] // 2]
        return self.tower(self.normalize(middle_frame))

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.head(self.feature_map(video))
