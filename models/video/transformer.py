"""A 2-D CNN on each frame, then a transformer over time (VideoSound-Matching)."""

from typing import Any

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.parts.sequence import Transformer as Sequence
from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class Transformer(nn.Module):
    """A 2-D CNN on every frame, a linear layer, sinusoidal positions, a transformer encoder, a linear layer.

    shape: (frames, height, width, channels) of one input. trunk: the 2-D CNN,
    `timm/<name>` or `torchvision/<name>`; empty: ResNet-18 up to its third stage. pretrained: True downloads
    its published weights; a path is a file of weights, or a folder with `<name>.safetensors`; False: random
    weights. frozen: the 2-D CNN is not trained.
    inner: size of a frame's vector after the first linear layer. layers, heads, forward (size of the
    feed-forward network), dropout: of the transformer. Source: VideoSound-Matching, with these sizes.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        trunk: str = "",
        pretrained: bool | str = False,
        frozen: bool = False,
        inner: PositiveInt = 512,
        layers: PositiveInt = 2,
        heads: PositiveInt = 2,
        forward: PositiveInt = 512,
        dropout: NonNegativeFloat = 0.5,
        definition: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen, definition)
        self.definition = self.frames.definition  # which the checkpoint of a model keeps
        self.sequence = Sequence(
            shape[0], self.frames.n_features, dim, inner, layers, heads, forward, dropout
        )

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.sequence(self.frames(video))
