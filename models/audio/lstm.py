"""An LSTM on the spectrogram as a sequence (VideoSound-Matching)."""

from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import to_sequence
from models.parts.sequence import Lstm as Sequence


@encoders.register
class Lstm(nn.Module):
    """A linear layer on each step, a bidirectional LSTM, a linear layer on all steps.

    shape: (channels, freq, time) of one input; a step is a column of the spectrogram. inner: size of a step
    after the first linear layer. hidden, layers: of the LSTM. Source: VideoSound-Matching, with these sizes.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        inner: PositiveInt = 200,
        hidden: PositiveInt = 200,
        layers: PositiveInt = 3,
    ) -> None:
        super().__init__()
        channels, freq, time = shape
        self.sequence = Sequence(time, channels * freq, dim, inner, hidden, layers)

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.sequence(to_sequence(audio))
