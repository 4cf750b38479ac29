"""A small network that identifies people by face or by voice, after a system on VoxCeleb."""

from torch import Tensor, nn


class Shallow(nn.Module):
    """Two 3x3 convolutions, each with ReLU and max-pool 2; then linear, ReLU, dropout, linear.

    channels, size (height, width): of the input. dim: size of the output. width: output channels of the first
    convolution; the second one has twice as many.
    The published system has an L2 penalty on the convolutions; here, that is `train.weight_decay`.
    """

    def __init__(self, channels: int, size: tuple[int, int], dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, ceil_mode=True),
        )
        height, width_in_pixels = size
        positions = -(-height // 4) * -(-width_in_pixels // 4)  # each divided by 4 and rounded up
        self.project = nn.Sequential(
            nn.Linear(2 * width * positions, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width), from 0 to 1 for pictures, to (batch, dim)."""
        return self.project(self.trunk(images).flatten(1))
