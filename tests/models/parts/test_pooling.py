"""Pooling over time: PyTorch's numbers, and any length when exported."""

import pytest
import torch
from torch import nn

from models.parts.pooling import MaxPoolTime


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("kernel", [2, 3])
def test_max_pool_equals_that_of_pytorch(kernel, length):
    x = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(length))
    x, same_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    pooled, expected = MaxPoolTime(kernel)(x), nn.MaxPool1d(kernel, ceil_mode=True)(same_x)
    assert torch.equal(pooled, expected)
    pooled.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(x.grad, same_x.grad)


def test_an_exported_max_pool_takes_any_length():
    shapes = ({2: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(MaxPoolTime(2), (torch.zeros(2, 3, 8),), dynamic_shapes=shapes)
    assert program.module()(torch.zeros(2, 3, 21)).shape == (2, 3, 11)
