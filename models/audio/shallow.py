"""The audio CNN of identification by voice: two convolutions on the spectrogram."""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize
from models.parts.shallow import Shallow as Net


@encoders.register
class Shallow(nn.Module):
    """Two convolutions, each with max-pool 2; then linear, ReLU, dropout, linear.

    shape: (channels, freq, time) of one input. width: output channels of the first convolution.
    Source: a system for identification on VoxCeleb, which has no dropout for sounds.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        width: PositiveInt = 32,
        dropout: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__()
        self.net = Net(shape[0], shape[1:], dim, width, dropout)

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.net(standardize(audio))
