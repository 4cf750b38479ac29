import functools

import pytest
import torch
import torch._export.utils
from torch.onnx._internal.exporter._registration import ONNXRegistry

from testing import toy

# One thread is enough for toys, and several of them on the same cores wait for each other most of the time.
torch.set_num_threads(1)
# Half of the time of an export of a toy is this table of operators, compiled anew for each.
ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
# A tenth more: PyTorch's own operators, looked up for each of some thirty libraries, twice an export.
torch._export.utils._materialize_cpp_cia_ops = functools.cache(torch._export.utils._materialize_cpp_cia_ops)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("data") / "toy")


@pytest.fixture(scope="session")
def data(folder):
    return toy.load(folder)
