"""The parts that the audio and the video network of AVE-Net have in common."""

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    """Four blocks of two 3x3 convolutions with batch norm and ReLU; max-pool 2 between the blocks.

    The first convolution has stride 2. channels: of the input; afterwards, the attribute `channels` has those
    of the output. width: output channels of the first block; each further block has twice as many.
    Source: Objects that Sound (arXiv 1712.06651, figure 2).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block, out_channels in enumerate((width, 2 * width, 4 * width, 8 * width)):
            if block > 0:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for convolution in range(2):
                stride = 2 if block == 0 and convolution == 0 else 1
                layers += [
                    nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(inplace=True),
                ]
                channels = out_channels
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, 8 `width`, height / 16, width / 16), rounded up."""
        return self.layers(images.contiguous(memory_format=torch.channels_last))


class Head(nn.Module):
    """Max-pool over all positions, linear, ReLU, linear. channels: of the input. dim: of the output."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, dim)."""
        return self.layers(features.amax((2, 3)))
