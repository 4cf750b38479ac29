"""Audio-visual correspondence: how well a score separates matching pairs from others, with intervals."""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.metrics.bootstrap import resample_pairs, summarize


def best_threshold(scores: np.ndarray, matches: np.ndarray) -> float:
    """Return the threshold at which `score >= threshold` agrees best with `matches`.

    scores: (n,). matches: (n,) bool. The threshold is halfway between two neighbouring scores; of several
    equally good ones it is the middle one. Calibrate it on validation pairs, never on the pairs that are
    reported. Raises ValueError on no pairs.
    """
    scores, matches = _to_checked_arrays(scores, matches)
    values, rank = np.unique(scores, return_inverse=True)  # the distinct scores, in ascending order
    positives = np.bincount(rank, weights=matches, minlength=len(values))  # matching pairs of each score
    negatives = np.bincount(rank, weights=~matches, minlength=len(values))
    # Element k is for the case that the k lowest distinct scores are predicted "no match", the others
    # "match".
    correct_negatives = np.concatenate(([0], np.cumsum(negatives)))
    correct_positives = positives.sum() - np.concatenate(([0], np.cumsum(positives)))
    correct = correct_negatives + correct_positives
    best = np.flatnonzero(correct == correct.max())
    k = best[len(best) // 2]
    if k == 0:
        return float(values[0])
    if k == len(values):
        return float(np.nextafter(values[-1], np.inf))
    middle = values[k - 1] + (values[k] - values[k - 1]) / 2
    # Between two neighbouring floating-point numbers there is no middle.
    return float(middle if middle > values[k - 1] else values[k])


def evaluate(
    scores: np.ndarray,
    matches: np.ndarray,
    threshold: float,
    groups: Sequence | np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict:
    """Return accuracy at `threshold` and area under the ROC curve, with 95% percentile bootstrap intervals.

    scores: (n,) float, higher is a better match. matches: (n,) bool. A score from `threshold` on is a
    predicted match. Ties count half in the AUC, which is the Mann-Whitney statistic. AUC is None if all pairs
    match, or none. bootstrap: number of resamples.

    Pairs that share a clip are not independent, so `groups` are resampled, not pairs: (n,) one group per
    pair, or (n, 2) the group of its sound and the group of its picture. With two, the weight of a pair is the
    product of the counts of both groups (Owen 2007, "The pigeonhole bootstrap"); if both are the same group,
    it is that group's count. None: every pair is its own group.

    Returns {"accuracy", "auc", "n", "ci": {name: [low, high] or None}, "chance": {name: 0.5}}. The chance
    of 0.5 is that of a coin; pairs are expected to be balanced. Raises ValueError on no pairs, on lengths
    that differ and on scores that are not finite.
    """
    scores, matches = _to_checked_arrays(scores, matches)
    compute_metrics = metric_function(scores, matches, threshold)
    metrics = summarize(compute_metrics, len(scores), groups, bootstrap, seed)
    return metrics | {"chance": {"accuracy": 0.5, "auc": 0.5}}


def metric_function(
    scores: np.ndarray, matches: np.ndarray, threshold: float
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function of weights (b, n) of the pairs that returns "accuracy" and "auc", (b,) each.

    scores: (n,). matches: (n,) bool. threshold: a score from it on is a predicted match.
    """
    is_correct = (scores >= threshold) == matches
    compute_auc = _AreaUnderCurve(scores, matches)

    def compute_metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1)
        accuracy = weights @ is_correct / np.where(total > 0, total, np.nan)
        return {"accuracy": accuracy, "auc": compute_auc(weights)}

    return compute_metrics


def resample_aucs(
    scores: np.ndarray, matches: np.ndarray, groups: Sequence | np.ndarray | None, bootstrap: int, seed: int
) -> np.ndarray:
    """Return the AUC in every resample, from which `evaluate` computes its interval: (bootstrap,).

    scores: (n,) float, higher is a better match. matches: (n,) bool. groups: what is resampled: (n,) one
    group per pair, (n, 2) the groups of its sound and its picture, None: every pair is its own group.
    bootstrap: number of resamples. The AUC is NaN if the resampled pairs all match, or none.
    The resamples depend only on groups, `bootstrap` and `seed`: two models can be compared resample by
    resample on the same pairs, which is far more sensitive than comparing two intervals.
    """
    scores, matches = _to_checked_arrays(scores, matches)
    compute_auc = _AreaUnderCurve(scores, matches)
    return np.concatenate(
        [compute_auc(weights) for weights in resample_pairs(groups, len(scores), bootstrap, seed)]
    )


def roc_curve(scores: np.ndarray, matches: np.ndarray, max_points: int = 200) -> list[dict[str, float]]:
    """Return the ROC curve as at most `max_points` rows {"fpr", "tpr"}, from (0, 0) to (1, 1).

    scores: (n,) float, higher is a better match. matches: (n,) bool. If the curve has more points, those are
    returned that are evenly spaced along its length. Returns an empty list if all pairs match, or none.
    """
    scores, matches = _to_checked_arrays(scores, matches)
    if matches.all() or not matches.any():
        return []
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last pair of each tied score
    true_positives = np.cumsum(matches[order])[last]
    false_positives = last + 1 - true_positives
    tpr = np.concatenate(([0.0], true_positives / matches.sum()))
    fpr = np.concatenate(([0.0], false_positives / (~matches).sum()))
    if len(tpr) > max_points:
        # Both rates only increase, so tpr + fpr is the length along the curve: from 0 to 2.
        nearest = np.searchsorted(tpr + fpr, np.linspace(0, 2, max_points))
        selected = np.unique(nearest.clip(0, len(tpr) - 1))
        tpr, fpr = tpr[selected], fpr[selected]
    return [{"fpr": round(float(f), 6), "tpr": round(float(t), 6)} for f, t in zip(fpr, tpr, strict=True)]


def _to_checked_arrays(scores: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n,) as float64 and matches (n,) as bool.

    Raises ValueError on no pairs, on lengths that differ and on scores that are not finite.
    """
    scores, matches = np.asarray(scores, np.float64), np.asarray(matches, bool)
    if scores.ndim != 1 or scores.shape != matches.shape:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} must both be (n,)")
    if not len(scores):
        raise ValueError("there are no pairs to score")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite numbers")
    return scores, matches


class _AreaUnderCurve:
    """Compute the AUC of the same pairs under many weights: sort once, then a weighted Mann-Whitney count.

    order: (n,) the pairs in ascending order of their scores. matches: (n,) bool, in that order. starts: the
    first place in that order of each distinct score: pairs with the same score are counted together.
    """

    def __init__(self, scores: np.ndarray, matches: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.matches = matches[self.order]
        is_new_score = np.append(True, np.diff(scores[self.order]) != 0)
        self.starts = np.flatnonzero(is_new_score)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUC (b,) under weights (b, n); NaN if the weighted pairs all match, or none."""
        ordered = weights[:, self.order]
        # (b, distinct scores): the weight of the matching and of the other pairs with each score
        positives = np.add.reduceat(ordered * self.matches, self.starts, axis=1)
        negatives = np.add.reduceat(ordered * ~self.matches, self.starts, axis=1)
        negatives_below = np.cumsum(negatives, axis=1) - negatives / 2  # those with the same score count half
        pairs = positives.sum(1) * negatives.sum(1)
        return (positives * negatives_below).sum(1) / np.where(pairs > 0, pairs, np.nan)
