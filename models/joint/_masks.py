"""Which patches a masked autoencoder sees.

A mask is a random order of an input's patches, drawn as noise: those with the smallest noise are kept. Modes
other than `random` first raise the noise of whole columns (`time`) or rows (`frequency`) of the spectrogram's
patches, so that these go first. Source: CAV-MAE (arXiv 2210.07839, section 3.2 and appendix).
"""

import torch
from torch import Tensor

MODES = ("random", "time", "frequency", "both")
BOTH = 0.7  # of `both`: the part of the ratio that rows, and columns, are raised by; noise does the rest


def kept(patches: int, ratio: float) -> int:
    """How many of so many patches are kept; at least one."""
    return max(int(patches * (1 - ratio)), 1)


def noise(
    batch: int, grid: tuple[int, int], ratio: float, mode: str, generator: torch.Generator | None = None
) -> Tensor:
    """(batch, rows * columns), drawn on the CPU: the same on every device."""
    rows, columns = grid
    found = torch.rand(batch, rows, columns, generator=generator)
    if mode == "random":
        return found.flatten(1)
    share = ratio * BOTH if mode == "both" else ratio
    if mode in ("time", "both"):
        chosen = torch.rand(batch, columns, generator=generator).argsort(1) < int(columns * share)
        found.masked_fill_(chosen[:, None, :], 1.1)
    if mode in ("frequency", "both"):
        chosen = torch.rand(batch, rows, generator=generator).argsort(1) < int(rows * share)
        found.masked_fill_(chosen[:, :, None], 1.1)
    return found.flatten(1)


def orders(noise: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Noise (batch, patches) to the numbers of kept patches, (batch, kept), and of masked ones."""
    order = noise.argsort(1)
    count = kept(noise.shape[1], ratio)
    return order[:, :count], order[:, count:]
