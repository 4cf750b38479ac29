"""A 2-D CNN on each frame, then an LSTM over time (VideoSound-Matching)."""

from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn

from models.parts.sequence import Lstm
from models.video import encoders
from models.video._frames import FrameTrunk


@encoders.register
class CnnLstm(nn.Module):
    """A 2-D CNN on every frame, a linear layer, a bidirectional LSTM, a linear layer on all its outputs.

    shape: (frames, height, width, channels) of one input. trunk: the 2-D CNN,
    `timm/<name>` or `torchvision/<name>`; empty: ResNet-18 up to its third stage. pretrained: True downloads
    its published weights; a path is a file of weights, or a folder with `<name>.safetensors`; False: random
    weights. frozen: the 2-D CNN is not trained.
    inner: size of a frame's vector after the linear layer. hidden, layers: of the LSTM.
    Source: VideoSound-Matching, with these sizes.
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
        hidden: PositiveInt = 8,
        layers: PositiveInt = 5,
        definition: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.frames = FrameTrunk(shape, trunk, pretrained, frozen, definition)
        self.definition = self.frames.definition  # which the checkpoint of a model keeps
        self.sequence = Lstm(shape[0], self.frames.n_features, dim, inner, hidden, layers)

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.sequence(self.frames(video))
