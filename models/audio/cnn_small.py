"""A small convolutional network on the spectrogram, which two cores train in a minute."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize


@encoders.register
class CnnSmall(nn.Module):
    """Four stages of 3x3 convolutions, halving freq and time, then mean and maximum over all positions.

    shape: (channels, freq, time) of one input; other freq and time work too.
    """

    def __init__(self, shape: tuple[int, int, int], dim: int, *, width: PositiveInt = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        in_channels = shape[0]
        for i, out_channels in enumerate(widths):
            layers += _convolution(in_channels, out_channels, stride=2)
            if i:  # not at full resolution, where a second convolution costs most and helps least
                layers += _convolution(out_channels, out_channels, stride=1)
            in_channels = out_channels
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Linear(2 * in_channels, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, 8 width, freq / 16, time / 16), rounded up."""
        return self.trunk(standardize(x).contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_map(x)  # (B, 8 width, F, T)
        return self.project(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))


def _convolution(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
