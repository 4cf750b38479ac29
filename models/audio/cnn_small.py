"""A small convolutional network on the spectrogram, which two cores train in a minute."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize


@encoders.register
class CnnSmall(nn.Module):
    """Four stages of 3x3 convolutions, each halves freq and time; then mean and maximum over all positions.

    shape: (channels, freq, time) of one input; other freq and time work too. width: output channels of the
    first stage; each further stage has twice as many.
    """

    def __init__(self, shape: tuple[int, int, int], dim: int, *, width: PositiveInt = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        in_channels = shape[0]
        for stage, out_channels in enumerate(widths):
            layers += _convolution(in_channels, out_channels, stride=2)
            if stage > 0:  # not at full resolution, where a second convolution costs most and helps least
                layers += _convolution(out_channels, out_channels, stride=1)
            in_channels = out_channels
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Linear(2 * in_channels, dim)

    def feature_map(self, audio: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, 8 width, freq / 16, time / 16), rounded up."""
        return self.trunk(standardize(audio).contiguous(memory_format=torch.channels_last))

    def forward(self, audio: Tensor) -> Tensor:
        """Map spectrograms (batch, channels, freq, time) to embeddings (batch, dim)."""
        features = self.feature_map(audio)
        return self.project(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))


def _convolution(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    """Create the layers of a 3x3 convolution with batch norm and ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
