"""The video network of AVOL-Net on the middle frame: an embedding for each position, to localize sounds."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.parts.avenet import Tower
from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class AvolNet(nn.Module):
    """AVE-Net's convolutions on the middle frame, then two 1x1 convolutions: an embedding for each position.

    shape: (frames, height, width, channels) of one input. The output is (batch, positions * dim), row by row
    of the map, not normalized. Use it with `matcher: localize` and `loss: bce`. Source: Objects that
    Sound (arXiv 1712.06651, section 5), which has width 64.
    """

    has_map = True  # the output has an embedding for each position of a map; other encoders have only one

    def __init__(self, shape: tuple[int, int, int, int], dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        self.tower = Tower(shape[3], width)
        # Height and width of the map: those of the frame divided by 16, rounded up.
        self.map = -(-shape[1] // 16), -(-shape[2] // 16)
        self.normalize = Normalize(shape[3])
        self.head = nn.Sequential(nn.Conv2d(self.tower.channels, dim, 1), nn.ReLU(), nn.Conv2d(dim, dim, 1))

    def feature_map(self, video: Tensor) -> Tensor:
        """Return the embeddings of all positions, (batch, dim, height / 16, width / 16), rounded up."""
        return self.head(self._features(video))

    def object_map(self, video: Tensor) -> Tensor:
        """Return where something is in view, whatever sounds: (batch, height / 16, width / 16), rounded up.

        It is the mean over channels of the absolute features, as in EZ-VSL (arXiv 2203.09324), whose features
        are those of a network for ImageNet. Here they are before the two 1x1 convolutions.
        """
        return self._features(video).abs().mean(1)

    def _features(self, video: Tensor) -> Tensor:
        """Map frames to the features of the middle one, (batch, 8 width, height / 16, width / 16)."""
        return self.tower(self.normalize(video[:, video.shape[1] // 2]))

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to (batch, positions * dim)."""
        return self.feature_map(video).flatten(2).transpose(1, 2).flatten(1)
