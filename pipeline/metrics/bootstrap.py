"""95% bootstrap intervals. Whole groups are resampled, since members of a group are not independent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

_BLOCK_WEIGHTS = 4_000_000  # in memory at a time: 32 MB
_PERCENTILES = (2.5, 97.5)  # the ends of a 95% interval
_DECIMALS = 6


def round_finite(value: float) -> float | None:
    """Round a number to six decimals for JSON; return None if it is not finite."""
    return round(float(value), _DECIMALS) if np.isfinite(value) else None


def percentile_interval(blocks: Sequence[np.ndarray]) -> list[float] | None:
    """Return the 95% interval of a metric: the 2.5th and the 97.5th percentile of its values.

    blocks: the value of the metric in each resample, as any number of arrays (b,). Values that are not finite
    are left out. Returns [low, high]; None without finite values.
    """
    values = np.concatenate([np.asarray(block, float) for block in blocks]) if len(blocks) else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return [round(float(end), _DECIMALS) for end in np.percentile(values, _PERCENTILES)]


def summarize(
    compute_metrics: Callable[[np.ndarray], dict[str, np.ndarray]],
    n: int,
    groups: Sequence | np.ndarray | None,
    bootstrap: int,
    seed: int,
    width: int | None = None,
) -> dict[str, Any]:
    """Return {metric: value, ..., "n": n, "ci": {metric: [low, high]}} of n pairs or clips.

    compute_metrics: maps weights (b, n) of the pairs or clips to metric -> its values, (b,). groups, width:
    see `resample_pairs`. bootstrap: number of resamples.
    """
    blocks = [compute_metrics(weights) for weights in resample_pairs(groups, n, bootstrap, seed, width)]
    unweighted = compute_metrics(np.ones((1, n)))
    return {
        **{name: round_finite(value) for name, [value] in unweighted.items()},
        "n": n,
        "ci": {name: percentile_interval([block[name] for block in blocks]) for name in unweighted},
    }


def summarize_means(
    values: Mapping[str, np.ndarray], groups: Sequence | np.ndarray | None, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Return what `summarize` does, of metrics that are means: values has that of each pair or clip, (n,)."""

    def compute_means(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1)
        total = np.where(total > 0, total, np.nan)
        return {name: weights @ v / total for name, v in values.items()}

    return summarize(compute_means, len(next(iter(values.values()))), groups, bootstrap, seed)


def resample_groups(
    n_groups: int, bootstrap: int, seed: int, width: int | None = None
) -> Iterator[np.ndarray]:
    """Draw `n_groups` groups with replacement, `bootstrap` times; yield how often each group was drawn.

    Yields blocks (b, n_groups) of float64, with a row for each resample, `bootstrap` rows in all. width: of
    the widest array (b, width) that the caller computes from a block; it limits b, so that such arrays are
    small.
    """
    rng = np.random.default_rng(seed)
    block_rows = max(1, _BLOCK_WEIGHTS // max(n_groups, width or 0))
    for start in range(0, bootstrap, block_rows):
        rows = min(block_rows, bootstrap - start)
        samples = rng.integers(n_groups, size=(rows, n_groups))
        # Row r counts in bins r * n_groups to (r + 1) * n_groups - 1: one call of bincount for all rows.
        samples += np.arange(rows)[:, None] * n_groups
        counts = np.bincount(samples.ravel(), minlength=rows * n_groups)
        yield counts.reshape(rows, n_groups).astype(float)


def encode_groups(groups: Sequence | np.ndarray) -> tuple[np.ndarray, int]:
    """Replace names of groups by numbers from 0 on.

    groups: any hashable values, in an array or nested lists of any shape. Returns integers of the same shape,
    and the number of different groups.
    """
    array = np.asarray(groups, dtype=object)
    integers, names = pd.factorize(array.ravel(), use_na_sentinel=False)
    return integers.reshape(array.shape), len(names)


def resample_pairs(
    groups: Sequence | np.ndarray | None, n: int, bootstrap: int, seed: int, width: int | None = None
) -> Iterator[np.ndarray]:
    """Resample groups `bootstrap` times; yield the weight of each of n pairs or clips, in blocks (b, n).

    A block has a row for each resample, `bootstrap` rows in all. The weight of a pair is how often its group
    was drawn.
    groups: (n,) one group per pair; (n, 2) the groups of both sides: if they differ, the weight is the
    product of their counts; None: every pair is its own group. Raises ValueError on another shape. width: see
    `resample_groups`; None: n.
    """
    group_numbers, n_groups = encode_groups(np.arange(n) if groups is None else groups)
    if group_numbers.shape not in ((n,), (n, 2)):
        raise ValueError(f"groups {group_numbers.shape} must be ({n},) or ({n}, 2)")
    for counts in resample_groups(n_groups, bootstrap, seed, width or n):
        yield pair_weights(counts, group_numbers)


def pair_weights(counts: np.ndarray, group_numbers: np.ndarray) -> np.ndarray:
    """Return the weight of each of n pairs or clips in each resample, (b, n).

    counts: (b, groups) how often each group was drawn. group_numbers: (n,) the group of each, or (n, 2) those
    of both sides: if they differ, the weight is the product of their counts.
    """
    if group_numbers.ndim == 1:
        return counts[:, group_numbers]
    first, second = group_numbers.T
    return counts[:, first] * np.where(first == second, 1.0, counts[:, second])
