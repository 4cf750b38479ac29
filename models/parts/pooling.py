"""Pooling over time."""

from torch import Tensor, nn
from torch.nn import functional as F


class MaxPoolTime(nn.Module):
    """Max-pool over windows of `kernel` time steps; the last window may be shorter.

    It computes the same as `nn.MaxPool1d(kernel, ceil_mode=True)`. With that module, torch.export would make
    the length of the input a constant; with a 2-D max-pool it can be any number.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, time / kernel), rounded up."""
        return F.max_pool2d(features.unsqueeze(2), (1, self.kernel), ceil_mode=True).squeeze(2)
