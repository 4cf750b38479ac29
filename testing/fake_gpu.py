"""A GPU that computes nothing: which device and type each tensor has, as PyTorch's FakeTensor knows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

GPU = torch.device("cuda", 0)


@contextmanager
def fake_gpu(module: nn.Module) -> Iterator[None]:
    """Within a `with` block, a network is on a GPU, and tensors are without values.

    An operation on a tensor of the GPU and one of the CPU is an error, as it is on a real GPU. The network
    cannot be used any more after the block.
    """
    mode = FakeTensorMode()

    def convert(tensor: torch.Tensor) -> FakeTensor:
        return FakeTensor(mode, tensor.detach().to("meta"), GPU)

    for part in module.modules():
        tensors: dict[str, Any]
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    fake = convert(tensor)
                    tensors[name] = nn.Parameter(fake, False) if tensors is part._parameters else fake
        if hasattr(part, "_device"):  # of Lightning, which self.device returns
            part._device = GPU
    with mode:
        yield


@contextmanager
def autocast(dtype: torch.dtype) -> Iterator[None]:
    """Switch on mixed precision on GPUs: torch.autocast does so only where there is one."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", dtype)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()
