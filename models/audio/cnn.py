"""Three blocks of large convolutions on the spectrogram (VideoSound-Matching)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize


@encoders.register
class Cnn(nn.Module):
    """Blocks of convolution, max-pool 5 with stride 3, batch norm, leaky ReLU 0.1; linear on all positions.

    shape: (channels, freq, time) of one input. widths: output channels of each block. kernel: side of the
    convolutions. Source: VideoSound-Matching, with these widths.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dim: int,
        *,
        widths: Sequence[PositiveInt] = (64, 128, 256),
        kernel: PositiveInt = 5,
    ) -> None:
        super().__init__()
        in_channels, freq, time = shape
        blocks: list[nn.Module] = []
        for out_channels in widths:
            blocks += [
                nn.Conv2d(in_channels, out_channels, kernel, padding="same", bias=False),
                nn.MaxPool2d(5, stride=3, padding=2),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(0.1, inplace=True),
            ]
            in_channels = out_channels
            freq, time = (freq - 1) // 3 + 1, (time - 1) // 3 + 1  # divided by the stride, rounded up
        self.trunk = nn.Sequential(*blocks)
        self.project = nn.Linear(in_channels * freq * time, dim)

    def feature_map(self, audio: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, widths[-1], freq / s, time / s), rounded up.

        s is 3 ** len(widths), as each block divides by 3: 27 with three widths.
        """
        return self.trunk(standardize(audio).contiguous(memory_format=torch.channels_last))

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        return self.project(self.feature_map(audio).flatten(1))
