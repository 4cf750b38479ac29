"""95% bootstrap intervals: what is drawn again is groups, since members of one are not independent."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

_BLOCK = 4_000_000  # weights held at once while resampling: 32 MB


def number(value: float) -> float | None:
    """`value` as JSON takes it: six decimals, None for what is not a number."""
    return round(float(value), 6) if np.isfinite(value) else None


def interval(values: Sequence[np.ndarray]) -> list[float] | None:
    """The 2.5th and 97.5th percentiles of all resampled values; None if there are none."""
    flat = np.concatenate([np.asarray(v, float) for v in values]) if len(values) else np.empty(0)
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        return None
    return [round(float(v), 6) for v in np.percentile(flat, [2.5, 97.5])]


def resamples(groups: int, bootstrap: int, seed: int, width: int | None = None) -> Iterator[np.ndarray]:
    """How often each of `groups` was drawn, as blocks (b, groups) of float64, `bootstrap` rows in all.

    `width` is the width of the widest array that the caller makes of a row, where that is wider.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(groups, width or 0))
    for start in range(0, bootstrap, rows):
        count = min(rows, bootstrap - start)
        drawn = rng.integers(groups, size=(count, groups))
        drawn += np.arange(count)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).astype(float)


def codes(groups: Sequence | np.ndarray) -> tuple[np.ndarray, int]:
    """Groups of any hashable kind as integers of the same shape, and how many different ones there are."""
    array = np.asarray(groups, dtype=object)
    found, names = pd.factorize(array.ravel(), use_na_sentinel=False)
    return found.reshape(array.shape), len(names)


def pair_weights(
    groups: Sequence | np.ndarray | None, n: int, bootstrap: int, seed: int
) -> Iterator[np.ndarray]:
    """Blocks (b, n): how often each pair counts in each resample."""
    code, count = codes(np.arange(n) if groups is None else groups)
    if code.shape not in ((n,), (n, 2)):
        raise ValueError(f"groups {code.shape} must be ({n},) or ({n}, 2)")
    for drawn in resamples(count, bootstrap, seed, width=n):
        if code.ndim == 1:
            yield drawn[:, code]
        else:
            sound, picture = code.T
            yield drawn[:, sound] * np.where(sound == picture, 1.0, drawn[:, picture])
