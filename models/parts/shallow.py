"""The small network of identification by face and by voice, after a system on VoxCeleb."""

from torch import Tensor, nn


class Shallow(nn.Module):
    """Maps (batch, channels, height, width) of 0 to 1 to (batch, dim).

    Two 3x3 convolutions, `width` and twice `width`, each with ReLU and max-pool 2; flattened; linear to
    `dim`, ReLU, dropout, linear. The source's L2 penalty on the convolutions is `train.weight_decay` here.
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
        positions = -(-size[0] // 4) * -(-size[1] // 4)
        self.project = nn.Sequential(
            nn.Linear(2 * width * positions, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.trunk(x).flatten(1))
