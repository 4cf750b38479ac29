"""Where a trained model computes: on a GPU if there is one, in which precision, in batches that fit."""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from pipeline.errors import UserError

CPU, GPU = "cpu", "cuda"
# CPU instructions without which bfloat16 is slower than single precision
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")
# Lightning's name of a mixed precision -> the type in which the large operations compute
MIXED_PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
GPU_WORKERS = 2  # processes on the GPU of this machine, for the same reason
# What to do if the memory of a GPU is too small.
FREE_MEMORY = (
    "end other processes that use the GPU, set fewer workers (engine.workers, --workers), or set"
    " CUDA_VISIBLE_DEVICES= to compute on the CPU"
)

Result = TypeVar("Result")
Network = TypeVar("Network", bound=torch.nn.Module)


def choose_device(requested: str | None = None) -> str:
    """Return where to compute: `cuda` if PyTorch finds a GPU, else `cpu`.

    requested: `cpu` or `cuda`, to decide it; None: as above. Raises UserError if it is another word, or a GPU
    that PyTorch does not find.
    """
    if requested not in (None, CPU, GPU):
        raise UserError(f"device: {requested}: use {CPU} or {GPU}")
    has_gpu = torch.cuda.is_available()
    if requested == GPU and not has_gpu:
        raise UserError(f"device: {GPU}: PyTorch finds no GPU: check nvidia-smi, or use {CPU}")
    return requested or (GPU if has_gpu else CPU)


def computes_fast_in_bf16(device: str) -> bool:
    """Return whether mixed precision with bfloat16 is faster on a device than single precision."""
    if device != CPU:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    has_instructions = any(capabilities.get(name) for name in BF16_INSTRUCTIONS)
    return has_instructions and not torch.backends.mps.is_available()


def mixed_type(device: str, precision: str) -> torch.dtype | None:
    """Return the type in which a trained model's large operations compute; None: all in single precision.

    precision: of its training, `train.precision`. On a CPU it is always single precision: so results do not
    depend on the CPU. It is also where a GPU has no bfloat16.
    """
    if device == CPU or precision in ("auto", "bf16-mixed") and not computes_fast_in_bf16(device):
        return None
    return MIXED_PRECISIONS.get("bf16-mixed" if precision == "auto" else precision)


def mixed_precision(device: str, dtype: torch.dtype | None) -> AbstractContextManager:
    """Return a context in which large operations compute in `dtype`. None: as outside of the context."""
    return nullcontext() if dtype is None else torch.autocast(device, dtype)


def single_precision(device: str) -> AbstractContextManager:
    """Return a context in which all operations on a device compute in single precision."""
    # Without the condition a network that is exported would contain the context.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def move(module: Network, device: str) -> Network:
    """Move a network to a device, and return it. Raises UserError if a GPU has too little memory for it."""
    try:
        return module.to(device)
    except torch.cuda.OutOfMemoryError:
        pass
    raise UserError(f"GPU: too little memory for the model: {FREE_MEMORY}")


@dataclass
class BatchSize:
    """How many items a network gets at a time: fewer after they did not fit into the memory of a GPU.

    size: now. unit: one of the items, for messages.
    """

    size: int
    unit: str = "window"
    _first_failure: int | None = field(init=False, default=None)  # items that did not fit
    _is_reported: bool = field(init=False, default=False)

    def map(self, function: Callable[[slice], Result], n_items: int) -> Iterator[Result]:
        """Call a function with slices of up to `size` items, until all are done. Yield its results in order.

        The function computes on a GPU, and returns what is no longer there. If it runs out of memory, it is
        called again with half as many items. The first time, a line says so.
        Raises UserError if there is too little memory for one item.
        """
        start = 0
        while start < n_items:
            items = slice(start, min(start + self.size, n_items))
            try:
                result = function(items)
            except torch.cuda.OutOfMemoryError:
                fits = False
            else:
                fits = True
            # Not in the `except` block: there the exception keeps the tensors of the call alive.
            if fits:
                self._report()
                yield result
                start = items.stop
            else:
                self._halve(items.stop - items.start)

    def _halve(self, n_items: int) -> None:
        """Make batches half as large as one of `n_items`, which did not fit, and free cached memory."""
        if n_items == 1:
            raise UserError(f"GPU: too little memory for one {self.unit} at a time: {FREE_MEMORY}")
        self._first_failure = self._first_failure or n_items
        self.size = n_items // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _report(self) -> None:
        """Print, only once, that the batches are smaller."""
        if self._first_failure and not self._is_reported:
            self._is_reported = True
            too_many = f"too little memory for {self._first_failure} {self.unit}s at a time"
            print(f"GPU: {too_many}: continues with {self.size}", flush=True)
