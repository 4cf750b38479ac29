"""A 2-D CNN on each frame, averaged over time (VideoSound-Matching)."""

from typing import Any

from torch import Tensor, nn

from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class CnnAvg(nn.Module):
    """A 2-D CNN on every frame, linear, mean over time, linear.

    shape: (frames, height, width, channels) of one input; other sizes work too. trunk: the 2-D CNN,
    `timm/<name>` or `torchvision/<name>`; empty: ResNet-18 up to its third stage. pretrained: True downloads
    its published weights; a path is a file of weights, or a folder with `<name>.safetensors`; False: random
    weights. frozen: the 2-D CNN is not trained. Source: VideoSound-Matching.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        trunk: str = "",
        pretrained: bool | str = False,
        frozen: bool = False,
        definition: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen, definition)
        self.definition = self.frames.definition  # which the checkpoint of a model keeps
        self.frame = nn.Linear(self.frames.n_features, dim)
        self.project = nn.Linear(dim, dim)

    def feature_map(self, video: Tensor) -> Tensor:
        """Return the mean feature map of all frames, (batch, channels, height / 16, width / 16), rounded up.

        Only if `trunk` is empty: other trunks have vectors, no maps.
        """
        return self.frames.feature_map(video)

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.project(self.frame(self.frames(video)).relu().mean(1))
