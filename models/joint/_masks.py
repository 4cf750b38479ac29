"""Random masks of a masked autoencoder.

Each patch gets a random number, its noise; the patches with the smallest noise are visible. Modes other than
`random` raise the noise of whole columns (`time`) or rows (`frequency`) of the spectrogram's patches, so that
these are masked first. Source: CAV-MAE (arXiv 2210.07839, section 3.2 and appendix).
"""

import torch
from torch import Tensor

MODES = ("random", "time", "frequency", "both")
# In mode `both`, the mask ratio times this factor is the fraction of rows that are masked, and of columns.
# Single patches are masked until the ratio is reached.
BOTH_FACTOR = 0.7
MASKED_NOISE = 1.1  # noise of patches to mask first; other noise is below 1


def count_visible(n_patches: int, mask_ratio: float) -> int:
    """Return the number of visible patches, at least one. mask_ratio: the fraction that is masked."""
    return max(int(n_patches * (1 - mask_ratio)), 1)


def draw_mask_noise(
    batch_size: int,
    grid: tuple[int, int],
    mask_ratio: float,
    mode: str,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the noise of each patch, (batch, rows * columns). The patches with the most noise will be masked.

    grid: (rows, columns) of patches. mask_ratio: the fraction of patches that will be masked. mode: one of
    MODES. It is drawn on the CPU, so that it is the same for every device.
    """
    rows, columns = grid
    noise = torch.rand(batch_size, rows, columns, generator=generator)
    if mode == "random":
        return noise.flatten(1)
    fraction = mask_ratio * BOTH_FACTOR if mode == "both" else mask_ratio
    if mode in ("time", "both"):
        order = torch.rand(batch_size, columns, generator=generator).argsort(1)
        is_masked = order < int(columns * fraction)
        noise.masked_fill_(is_masked[:, None, :], MASKED_NOISE)
    if mode in ("frequency", "both"):
        order = torch.rand(batch_size, rows, generator=generator).argsort(1)
        is_masked = order < int(rows * fraction)
        noise.masked_fill_(is_masked[:, :, None], MASKED_NOISE)
    return noise.flatten(1)


def split_by_noise(noise: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor]:
    """Return the numbers of the visible and of the masked patches, (batch, n) each.

    noise: (batch, patches); the patches with the smallest noise are visible.
    """
    order = noise.argsort(1)
    n_visible = count_visible(noise.shape[1], mask_ratio)
    return order[:, :n_visible], order[:, n_visible:]
