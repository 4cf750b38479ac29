"""Modules of both towers of AVE-Net."""

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    """Blocks of two 3x3 convolutions with batch norm and ReLU, max-pool 2 between them.

    Maps (batch, channels, height, width) to (batch, 8 width, height / 16, width / 16), rounded up: the first
    convolution has stride 2. Source: Objects that Sound (arXiv 1712.06651, figure 2).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block, out_channels in enumerate((width, 2 * width, 4 * width, 8 * width)):
            if block:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for i in range(2):
                stride = 2 if block == i == 0 else 1
                layers += [
                    nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(inplace=True),
                ]
                channels = out_channels
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.contiguous(memory_format=torch.channels_last))


class Head(nn.Module):
    """Max-pool over all positions, linear, ReLU, linear: (batch, channels, height, width) to (batch, dim)."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.amax((2, 3)))
