"""Pooling over time."""

from torch import Tensor, nn
from torch.nn import functional as F


class MaxPoolTime(nn.Module):
    """Max-pool of (batch, channels, time) over `kernel` steps; the last ones may be fewer.

    The numbers are those of `nn.MaxPool1d(kernel, ceil_mode=True)`, but torch.export takes the length of its
    input for a constant. It does not do so with a 2-D max-pool.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x.unsqueeze(2), (1, self.kernel), ceil_mode=True).squeeze(2)
