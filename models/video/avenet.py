"""AVE-Net's tower on the middle frame."""

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

    def feature_map(self, x: Tensor) -> Tensor:
        """Return (batch, 8 width, height / 16, width / 16), rounded up."""
        return self.tower(self.normalize(x[:, x.shape[1] // 2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.feature_map(x))
