"""95% bootstrap intervals. Whole groups are resampled, since members of a group are not independent."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

_BLOCK = 4_000_000  # weights in memory at a time: 32 MB


def number(value: float) -> float | None:
    """Round `value` to six decimals for JSON; None if it is not finite."""
    return round(float(value), 6) if np.isfinite(value) else None


def interval(values: Sequence[np.ndarray]) -> list[float] | None:
    """Return the 2.5th and 97.5th percentiles of all finite resampled values; None without any."""
    flat = np.concatenate([np.asarray(v, float) for v in values]) if len(values) else np.empty(0)
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        return None
    return [round(float(v), 6) for v in np.percentile(flat, [2.5, 97.5])]


def resamples(groups: int, bootstrap: int, seed: int, width: int | None = None) -> Iterator[np.ndarray]:
    """Yield how often each group is in each resample: blocks (b, groups) of float64, `bootstrap` rows in all.

    groups: their number. width: that of the widest array that the caller derives from a row, if wider than
    `groups`; it limits the size of a block.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(groups, width or 0))
    for start in range(0, bootstrap, rows):
        count = min(rows, bootstrap - start)
        samples = rng.integers(groups, size=(count, groups))
        samples += np.arange(count)[:, None] * groups  # one bincount for all rows
        yield np.bincount(samples.ravel(), minlength=count * groups).reshape(count, groups).astype(float)


def codes(groups: Sequence | np.ndarray) -> tuple[np.ndarray, int]:
    """Encode groups (any hashable) as integers of the same shape; return them and the number of groups."""
    array = np.asarray(groups, dtype=object)
    integers, names = pd.factorize(array.ravel(), use_na_sentinel=False)
    return integers.reshape(array.shape), len(names)


def pair_weights(
    groups: Sequence | np.ndarray | None, n: int, bootstrap: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield the weight of each pair in each resample, in blocks (b, n).

    groups: (n,) one group per pair; (n, 2) the groups of both sides, whose counts are multiplied; None: every
    pair is its own group. Raises ValueError on another shape.
    """
    code, count = codes(np.arange(n) if groups is None else groups)
    if code.shape not in ((n,), (n, 2)):
        raise ValueError(f"groups {code.shape} must be ({n},) or ({n}, 2)")
    for counts in resamples(count, bootstrap, seed, width=n):
        if code.ndim == 1:
            yield counts[:, code]
        else:
            sound, picture = code.T
            yield counts[:, sound] * np.where(sound == picture, 1.0, counts[:, picture])
