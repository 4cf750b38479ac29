"""Random masks of a masked autoencoder.

Each patch gets a random number, its noise; the patches with the smallest noise are visible. Modes other than
`random` raise the noise of whole columns (`time`) or rows (`frequency`) of the spectrogram's patches, so that
these are masked first. Source: CAV-MAE (arXiv 2210.07839, section 3.2 and appendix).
"""

import torch
from torch import Tensor

MODES = ("random", "time", "frequency", "both")
BOTH_SHARE = 0.7  # in mode `both`: the factor of the ratio for rows, and for columns; noise masks the rest


def count_visible(patches: int, ratio: float) -> int:
    """Return the number of visible patches; at least one. ratio: the share that is masked."""
    return max(int(patches * (1 - ratio)), 1)


def mask_noise(
    batch: int, grid: tuple[int, int], ratio: float, mode: str, generator: torch.Generator | None = None
) -> Tensor:
    """Draw noise (batch, rows * columns), on the CPU, so that it is the same for every device."""
    rows, columns = grid
    noise = torch.rand(batch, rows, columns, generator=generator)
    if mode == "random":
        return noise.flatten(1)
    share = ratio * BOTH_SHARE if mode == "both" else ratio
    if mode in ("time", "both"):
        is_masked = torch.rand(batch, columns, generator=generator).argsort(1) < int(columns * share)
        noise.masked_fill_(is_masked[:, None, :], 1.1)
    if mode in ("frequency", "both"):
        is_masked = torch.rand(batch, rows, generator=generator).argsort(1) < int(rows * share)
        noise.masked_fill_(is_masked[:, :, None], 1.1)
    return noise.flatten(1)


def split_patches(noise: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Return the numbers of visible and of masked patches, (batch, n) each. noise: (batch, patches)."""
    order = noise.argsort(1)
    count = count_visible(noise.shape[1], ratio)
    return order[:, :count], order[:, count:]
