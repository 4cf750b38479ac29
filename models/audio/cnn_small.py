"""The sound as a picture, by a network that is small enough to be trained on two cores in a minute."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.audio import encoders
from models.audio._input import standardize


@encoders.register
class CnnSmall(nn.Module):
    """Four stages of 3x3 convolutions, halving freq and time, then mean and maximum over all positions.

    shape: (channels, freq, time) of one input; only channels is built in, so any freq and time may come.
    """

    def __init__(self, shape: tuple[int, int, int], dim: int, *, width: PositiveInt = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        before = shape[0]
        for i, after in enumerate(widths):
            layers += _conv(before, after, stride=2)
            if i:  # the first is at full resolution, where a second convolution costs most and gives least
                layers += _conv(after, after, stride=1)
            before = after
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Linear(2 * before, dim)

    def feature_map(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, 8 width, freq / 16, time / 16), rounded up."""
        return self.trunk(standardize(x).contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_map(x)  # (B, 8 width, F, T)
        return self.project(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))


def _conv(before: int, after: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]
