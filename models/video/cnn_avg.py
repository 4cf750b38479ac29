"""A 2-D CNN on each frame, averaged over time (VideoSound-Matching)."""

from torch import Tensor, nn

from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class CnnAvg(nn.Module):
    """A 2-D CNN on every frame, linear, mean over time, linear.

    shape: (frames, height, width, channels) of one input; other sizes work too. trunk, pretrained,
    frozen: as in models.video._frames.FrameTrunk. Source: VideoSound-Matching.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        trunk: str = "",
        pretrained: bool | str = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen)
        self.frame = nn.Linear(self.frames.n_features, dim)
        self.project = nn.Linear(dim, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the mean feature map of all frames, (batch, channels, height / 16, width / 16)."""
        return self.frames.feature_map(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.frame(self.frames(x)).relu().mean(1))
