"""From the overlap of each sample to the measures of the field, with intervals.

- `ciou`: the share of samples whose overlap is at least 0.5 (0.3 for MUSIC's duets).
- `auc`: the area under share(overlap >= t), by trapezoids over t = 0, 0.05, ... 1.
- `aoc`: the area under share(value <= t), for values of which 0 is best (arXiv 2410.01020).

Both areas are means over samples of the area of one sample.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.metrics.bootstrap import summarize_means

# As the published code computes them: in floating point 0.15, 0.3, 0.35, 0.7 and 0.95 come out a hair larger,
# so an overlap of exactly that is below its own step.
STEPS = np.array([0.05 * i for i in range(21)])


def areas_under(overlaps: np.ndarray) -> np.ndarray:
    """Return the area under 1[overlap >= t] of each sample, (n,): their mean is the AUC. overlaps: (n,)."""
    return np.trapezoid((overlaps[:, None] >= STEPS).astype(float), STEPS, axis=1)


def areas_over(values: np.ndarray) -> np.ndarray:
    """Return the area under 1[value <= t] of each sample, (n,): their mean is the AOC. values: (n,)."""
    return np.trapezoid((values[:, None] <= STEPS).astype(float), STEPS, axis=1)


def evaluate(
    overlaps: np.ndarray,
    bootstrap: int,
    seed: int,
    groups: Sequence | np.ndarray | None = None,
    threshold: float = 0.5,
) -> dict:
    """Return {"ciou", "auc", "overlap": its mean, "n", "ci"} of the overlaps (n,) of samples.

    threshold: from which on an overlap counts for `ciou`. groups: (n,) of the samples, such as their videos,
    which are resampled whole; None: each sample is its own group. bootstrap: number of resamples.
    """
    values = {
        "ciou": (overlaps >= threshold).astype(float),
        "auc": areas_under(overlaps),
        "overlap": overlaps,
    }
    return summarize_means(values, groups, bootstrap, seed)
