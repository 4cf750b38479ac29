"""Three blocks of large convolutions on the spectrogram (VideoSound-Matching)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize


@encoders.register
class Cnn(nn.Module):
    """Blocks of 5x5 convolution, max-pool 5 stride 3, batch norm, leaky ReLU 0.1; linear on all positions.

    shape: (channels, freq, time) of one input. Source: VideoSound-Matching, with these widths.
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
            in_channels, freq, time = out_channels, (freq - 1) // 3 + 1, (time - 1) // 3 + 1
        self.trunk = nn.Sequential(*blocks)
        self.project = nn.Linear(in_channels * freq * time, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, widths[-1], freq / 27, time / 27), rounded up."""
        return self.trunk(standardize(x).contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.feature_map(x).flatten(1))
