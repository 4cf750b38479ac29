"""3-D convolutions on all frames (VideoSound-Matching)."""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from models.video import encoders
from models.video._frames import Normalize


@encoders.register
class Cnn(nn.Module):
    """Blocks of 3-D convolution, max-pool, batch norm, leaky ReLU 0.2, dropout 0.2; two linear layers.

    shape: (frames, height, width, channels) of one input. widths: output channels of each block. pool: by
    how much each block divides height and width; the second half of the blocks also halves the time.
    factored: split each convolution into one in space and one in time (R(2+1)D, arXiv 1711.11248), which
    costs a fraction. Source: VideoSound-Matching, with these widths.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        widths: Sequence[PositiveInt] = (64, 128, 256, 48),
        kernel: PositiveInt = 5,
        factored: bool = False,
        pool: PositiveInt = 3,
        dropout: NonNegativeFloat = 0.2,
    ) -> None:
        super().__init__()
        in_channels, size = shape[3], list(shape[:3])  # size: (frames, height, width) after each block
        blocks: list[nn.Module] = []
        for i, out_channels in enumerate(widths):
            strides = (1, pool, pool) if i < len(widths) // 2 else (2, pool, pool)
            blocks += [
                *_convolution(in_channels, out_channels, kernel, factored),
                nn.MaxPool3d(strides, ceil_mode=True),
                nn.BatchNorm3d(out_channels),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Dropout3d(dropout),
            ]
            in_channels = out_channels
            size = [-(-length // stride) for length, stride in zip(size, strides, strict=True)]  # rounded up
        self.trunk = nn.Sequential(*blocks)
        self.project = nn.Sequential(
            nn.Linear(in_channels * size[0] * size[1] * size[2], dim), nn.LeakyReLU(0.2), nn.Linear(dim, dim)
        )
        self.normalize = Normalize(shape[3])

    def forward(self, video: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, channels) uint8 to embeddings (batch, dim)."""
        return self.project(self.trunk(self.normalize(video)).flatten(1))


def _convolution(in_channels: int, out_channels: int, kernel: int, factored: bool) -> list[nn.Module]:
    """Create a 3-D convolution or, if `factored`, one in space and one in time."""
    if not factored:
        return [Conv3d(in_channels, out_channels, kernel, padding="same", bias=False)]
    return [
        Conv3d(in_channels, out_channels, (1, kernel, kernel), padding="same", bias=False),
        Conv3d(out_channels, out_channels, (kernel, 1, 1), padding="same", bias=False),
    ]


class Conv3d(nn.Conv3d):
    """A 3-D convolution in single precision on CPUs: bfloat16 gradients of 5x5x5 kernels are wrong there."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cpu:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())
