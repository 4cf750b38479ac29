"""A transformer on the spectrogram as a sequence (VideoSound-Matching)."""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import to_sequence
from models.parts.sequence import Transformer as Sequence


@encoders.register
class Transformer(nn.Module):
    """A linear layer on each step, sinusoidal positions, a transformer encoder, a linear layer on all steps.

    shape: (channels, freq, time) of one input; a step is a column of the spectrogram. inner: size of a step
    after the first linear layer. layers, heads, forward (size of the feed-forward network), dropout: of the
    transformer. Source: VideoSound-Matching, with these sizes.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        inner: PositiveInt = 128,
        layers: PositiveInt = 2,
        heads: PositiveInt = 2,
        forward: PositiveInt = 256,
        dropout: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__()
        channels, freq, time = shape
        self.sequence = Sequence(time, channels * freq, dim, inner, layers, heads, forward, dropout)

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.sequence(to_sequence(audio))
