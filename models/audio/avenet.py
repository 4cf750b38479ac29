"""The audio network of AVE-Net: convolutions on the spectrogram."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize
from models.parts.avenet import Head, Tower


@encoders.register
class AveNet(nn.Module):
    """Four blocks of two 3x3 convolutions, max-pool over all positions, linear, ReLU, linear.

    shape: (channels, freq, time) of one input; other sizes work too. Source: Objects that Sound
    (arXiv 1712.06651), which has width 64, and embeddings of 128 numbers.
    """

    def __init__(self, shape: tuple[int, int, int], dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        self.tower = Tower(shape[0], width)
        self.head = Head(self.tower.channels, dim)

    def feature_map(self, audio: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, 8 width, freq / 16, time / 16), rounded up."""
        return self.tower(standardize(audio))

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.head(self.feature_map(audio))
