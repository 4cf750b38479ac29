"""Audio-visual correspondence: how well a score separates matching pairs from others, with intervals."""

from collections.abc import Sequence

import numpy as np

from pipeline.metrics.bootstrap import interval, number, pair_weights


def best_threshold(scores: np.ndarray, matches: np.ndarray) -> float:
    """Return the threshold at which `score >= threshold` agrees best with `matches`.

    scores: (n,). matches: (n,) bool. The threshold is halfway between two neighbouring scores; of several
    equally good ones it is the middle one. Calibrate it on validation pairs, never on the pairs that are
    reported. Raises ValueError on no pairs.
    """
    scores, matches = _check(scores, matches)
    values, rank = np.unique(scores, return_inverse=True)
    yes = np.bincount(rank, weights=matches, minlength=len(values))
    no = np.bincount(rank, weights=~matches, minlength=len(values))
    # correct[k]: number of correct pairs if the k lowest distinct scores are predicted "no match"
    correct = np.concatenate(([0], np.cumsum(no))) + yes.sum() - np.concatenate(([0], np.cumsum(yes)))
    best = np.flatnonzero(correct == correct.max())
    k = best[len(best) // 2]
    if k == 0:
        return float(values[0])
    if k == len(values):
        return float(np.nextafter(values[-1], np.inf))
    middle = values[k - 1] + (values[k] - values[k - 1]) / 2
    return float(middle if middle > values[k - 1] else values[k])


def correspondence(
    scores: np.ndarray,
    matches: np.ndarray,
    threshold: float,
    groups: Sequence | np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict:
    """Return accuracy at `threshold` and area under the ROC curve, with 95% percentile bootstrap intervals.

    scores (n,) float, higher is a better match; matches (n,) bool. Ties count half in the AUC, which is the
    Mann-Whitney statistic. AUC is None if all pairs match, or none.

    Pairs that share a clip are not independent, so `groups` are resampled, not pairs: (n,) one group per
    pair, or (n, 2) the group of its sound and the group of its picture. With two, the weight of a pair is the
    product of the counts of both groups (Owen 2007, "The pigeonhole bootstrap"); inside one group it is that
    group's count. None: every pair is its own group.

    Returns {"accuracy", "auc", "n", "ci": {name: [low, high] or None}, "chance": {name: 0.5}}. The chance
    of 0.5 is that of a coin; pairs are expected to be balanced. Raises ValueError on no pairs, on lengths
    that differ and on scores that are not finite.
    """
    scores, matches = _check(scores, matches)
    is_correct = (scores >= threshold) == matches
    area = _Area(scores, matches)
    accuracies, areas = [], []
    for weights in pair_weights(groups, len(scores), bootstrap, seed):
        total = weights.sum(1)
        with np.errstate(invalid="ignore"):
            accuracies.append(weights @ is_correct / np.where(total > 0, total, np.nan))
        areas.append(area(weights))
    return {
        "accuracy": number(is_correct.mean()),
        "auc": number(area(np.ones((1, len(scores))))[0]),
        "n": len(scores),
        "ci": {"accuracy": interval(accuracies), "auc": interval(areas)},
        "chance": {"accuracy": 0.5, "auc": 0.5},
    }


def areas(
    scores: np.ndarray, matches: np.ndarray, groups: Sequence | np.ndarray | None, bootstrap: int, seed: int
) -> np.ndarray:
    """Return the AUC of every resample behind `correspondence`'s interval: (bootstrap,), NaN if undefined.

    The resamples depend only on groups, `bootstrap` and `seed`: two models can be compared resample by
    resample on the same pairs, which is far more sensitive than comparing two intervals.
    """
    scores, matches = _check(scores, matches)
    area = _Area(scores, matches)
    return np.concatenate([area(w) for w in pair_weights(groups, len(scores), bootstrap, seed)])


def roc(scores: np.ndarray, matches: np.ndarray, points: int = 200) -> list[dict[str, float]]:
    """Return the ROC curve as at most `points` rows {"fpr", "tpr"}, from (0, 0) to (1, 1).

    Empty if all pairs match, or none. Thinning keeps points of the curve, evenly spaced along its length.
    """
    scores, matches = _check(scores, matches)
    if matches.all() or not matches.any():
        return []
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last pair of each tied score
    hits = np.cumsum(matches[order])[last]
    tpr = np.concatenate(([0.0], hits / matches.sum()))
    fpr = np.concatenate(([0.0], (last + 1 - hits) / (~matches).sum()))
    if len(tpr) > points:
        keep = np.unique(np.searchsorted(tpr + fpr, np.linspace(0, 2, points)).clip(0, len(tpr) - 1))
        tpr, fpr = tpr[keep], fpr[keep]
    return [{"fpr": round(float(f), 6), "tpr": round(float(t), 6)} for f, t in zip(fpr, tpr, strict=True)]


def _check(scores: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, matches = np.asarray(scores, np.float64), np.asarray(matches, bool)
    if scores.ndim != 1 or scores.shape != matches.shape:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} must both be (n,)")
    if not len(scores):
        raise ValueError("there are no pairs to score")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite numbers")
    return scores, matches


class _Area:
    """Compute the AUC of the same pairs under many weights: sort once, then a weighted Mann-Whitney count."""

    def __init__(self, scores: np.ndarray, matches: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.matches = matches[self.order]
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))  # the first of each run of ties

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUC (b,) under weights (b, n); NaN if the weighted pairs all match, or none."""
        ordered = weights[:, self.order]
        yes = np.add.reduceat(ordered * self.matches, self.starts, axis=1)  # (b, distinct scores)
        no = np.add.reduceat(ordered * ~self.matches, self.starts, axis=1)
        below = np.cumsum(no, axis=1) - no / 2  # weight of mismatches under each score, ties half
        pairs = yes.sum(1) * no.sum(1)
        return (yes * below).sum(1) / np.where(pairs > 0, pairs, np.nan)
