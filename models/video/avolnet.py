"""AVOL-Net's tower on the middle frame, which keeps a map of embeddings and so can localize sounds."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.parts.avenet import Tower
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class AvolNet(nn.Module):
    """AVE-Net's tower on the middle frame, then two 1x1 convolutions: an embedding for each position.

    shape: (frames, height, width, channels) of one input. Its output is (batch, positions * dim), row by
    row of the map, not normalized. Use it with `matcher: localize` and `loss: bce`. Source: Objects that
    Sound (arXiv 1712.06651, section 5), which has width 64.
    """

    has_map = True  # an embedding for each position of a map, and not one

    def __init__(self, shape: tuple[int, int, int, int], dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        self.tower = Tower(shape[3], width)
        self.map = -(-shape[1] // 16), -(-shape[2] // 16)  # height and width of the map
        self.normalize = Normalize(shape[3])
        self.head = nn.Sequential(nn.Conv2d(self.tower.channels, dim, 1), nn.ReLU(), nn.Conv2d(dim, dim, 1))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return (batch, dim, height / 16, width / 16), rounded up."""
        return self.head(self.tower(self.normalize(x[:, x.shape[1] // 2])))

    def forward(self, x: Tensor) -> Tensor:
        return self.feature_map(x).flatten(2).transpose(1, 2).flatten(1)
