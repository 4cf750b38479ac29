"""Localization with one threshold for all pictures, and with sounds that nothing in the picture makes.

A map says that the sound comes from where it is above a threshold: perhaps from nowhere. The threshold is the
same for all pictures and comes from sounds that none of the pictures makes (`negative_threshold`), on clips
of the validation split. Maps are not rescaled picture by picture, and no size of an object is known.

For each picture there are four maps: of its own sound (`sound`) and of NEGATIVES: `silence`, `noise`, and
`off_screen`, the sound of a clip that has no label in common.

- `overlap`, `ciou`, `auc`: of the region above the threshold with the truth (`overlaps`).
- `pointing`: the share of pictures whose map has its maximum inside the truth.
- `iou_half`: mean overlap of the truth and the largest half of the map, as in published figures.
- `ciou_adaptive`, `auc_adaptive`: the same, of the largest values, as many as the truth has. They know the
  size of each object, and so rate only where the map is largest.
- of each negative: `pia`, the mean share of the picture above the threshold (0 is best); `aoc`, the area
  under share(pia <= t) (1 is best); `points`, the share of pictures in which anything is above the threshold.
- `f`: harmonic mean of `overlap` and 1 - mean `pia` of the negatives. `f_auc`: of `auc` and their mean `aoc`.
- `agreement`: mean intersection over union of the regions of two of the four sounds, 1 if both are empty. A
  model that does not listen has 1.

Source: arXiv 2410.01020 and its code (xavijuanola/vssl_eval), which has other thresholds.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from pipeline.metrics.bootstrap import percentile_interval, resample_pairs, round_finite, summarize_means
from pipeline.metrics.localization.overlaps import areas_over, areas_under
from pipeline.metrics.localization.published import half_region, overlap
from pipeline.metrics.localization.regions import largest_values

NEGATIVES = ("silence", "noise", "off_screen")
SOUND = "sound"
QUANTILE = 0.75  # of the maxima of negatives, as in the source


def negative_threshold(maps: Mapping[str, np.ndarray], quantile: float = QUANTILE) -> float:
    """Return the threshold that comes from negatives: a quantile of their maxima.

    maps: those of NEGATIVES, (n, h, w) each; every one counts alike.
    """
    maxima = [maps[name].max((1, 2)) for name in NEGATIVES]
    return float(np.quantile(np.concatenate(maxima), quantile))


def active_share(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Return the share of each picture above the threshold, (n,). maps: (n, h, w)."""
    return (maps > threshold).mean((1, 2))


def harmonic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return 2ab / (a + b); 0 where both are 0."""
    total = a + b
    return np.divide(2 * a * b, total, out=np.zeros_like(total), where=total > 0)


def region_agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of pairs of masks (n, h, w), (n,); 1 where both are empty."""
    intersection, union = ((a & b).sum((1, 2)), (a | b).sum((1, 2)))
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def localization_values(maps: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Return the metrics of each picture whose sound comes from inside `truth`: name -> (n,).

    maps: (n, h, w). truth: of the same shape, 0 to 1. threshold: of all pictures.
    """
    above = _overlaps(maps > threshold, truth)
    sizes = np.count_nonzero(truth, axis=(1, 2))
    adaptive = _overlaps([largest_values(m, n) for m, n in zip(maps, sizes, strict=True)], truth)
    peaks = maps.reshape(len(maps), -1).argmax(1)
    return {
        "overlap": above,
        "ciou": (above >= 0.5).astype(float),
        "auc": areas_under(above),
        "pointing": (truth.reshape(len(maps), -1)[np.arange(len(maps)), peaks] > 0).astype(float),
        "iou_half": _overlaps([half_region(m) for m in maps], truth),
        "ciou_adaptive": (adaptive >= 0.5).astype(float),
        "auc_adaptive": areas_under(adaptive),
    }


def _overlaps(regions: Sequence[np.ndarray] | np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.array([overlap(region, t) for region, t in zip(regions, truth, strict=True)])


def negative_values(maps: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Return the metrics of each picture in which nothing makes the sound: name -> (n,). maps: (n, h, w)."""
    share = active_share(maps, threshold)
    return {"pia": share, "aoc": areas_over(share), "points": (share > 0).astype(float)}


def evaluate_negatives(
    maps: np.ndarray,
    threshold: float,
    bootstrap: int,
    seed: int,
    groups: Sequence | np.ndarray | None = None,
) -> dict:
    """Return {"pia", "aoc", "points", "n", "ci"} of clips in which nothing in view makes the sound.

    maps: (n, h, w) of these sounds. groups, bootstrap: see `overlaps.evaluate`.
    """
    return summarize_means(negative_values(maps, threshold), groups, bootstrap, seed)


def evaluate(
    maps: Mapping[str, np.ndarray],
    truth: np.ndarray,
    threshold: float,
    bootstrap: int,
    seed: int,
    groups: Sequence | np.ndarray | None = None,
) -> dict:
    """Return the metrics that the top of this module defines, with intervals over the same resamples.

    maps: SOUND and NEGATIVES -> (n, h, w). truth: (n, h, w), where the object is that makes SOUND, 0 to 1.
    threshold: of all maps. groups: (n,) of the pictures, such as their videos; None: each is its own.
    Returns {"threshold", "n", name: mean, ..., "ci"}, each of NEGATIVES -> {"n", name: mean, ..., "ci"}, and
    "agreement" -> {"n", "sound_silence": mean, ..., "ci"}.
    """
    values = {SOUND: localization_values(maps[SOUND], truth, threshold)}
    values |= {name: negative_values(maps[name], threshold) for name in NEGATIVES}
    values["agreement"] = {
        f"{a}_{b}": region_agreement(maps[a] > threshold, maps[b] > threshold)
        for a, b in combinations((SOUND, *NEGATIVES), 2)
    }
    n = len(truth)
    every = np.full((1, n), 1.0)  # the weights of the samples as they are
    blocks = [_weighted(values, w) for w in resample_pairs(groups, n, bootstrap, seed)]
    means = _weighted(values, every)

    def summarize_section(section: str) -> dict:
        intervals = {name: percentile_interval([b[section][name] for b in blocks]) for name in means[section]}
        return {"n": n} | {name: round_finite(v[0]) for name, v in means[section].items()} | {"ci": intervals}

    sections = {section: summarize_section(section) for section in means}
    return {"threshold": round_finite(threshold), **sections.pop(SOUND), **sections}


def _weighted(values: dict[str, dict[str, np.ndarray]], weights: np.ndarray) -> dict:
    """Return the weighted mean of each metric in each resample, (b,), and the `f` of those means.

    values: section -> name -> the metric of each picture, (n,). weights: (b, n).
    """
    total = weights.sum(1)
    means = {
        section: {name: weights @ v / total for name, v in metrics.items()}
        for section, metrics in values.items()
    }
    pia, aoc = (np.mean([means[negative][name] for negative in NEGATIVES], 0) for name in ("pia", "aoc"))
    means[SOUND]["f"] = harmonic_mean(means[SOUND]["overlap"], 1 - pia)
    means[SOUND]["f_auc"] = harmonic_mean(means[SOUND]["auc"], aoc)
    return means
