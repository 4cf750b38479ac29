"""Pooling over time."""

from torch import Tensor, nn
from torch.nn import functional as F


class MaxPoolTime(nn.Module):
    """Max-pool of (batch, channels, time) over `kernel` steps; the last window may be shorter.

    It computes the same as `nn.MaxPool1d(kernel, ceil_mode=True)`, for which torch.export would fix the
    length of the input. A 2-D max-pool keeps it dynamic.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x.unsqueeze(2), (1, self.kernel), ceil_mode=True).squeeze(2)
