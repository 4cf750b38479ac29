"""How well a model tells pairs that belong together from pairs that do not, and how sure that number is."""

from collections.abc import Sequence

import numpy as np

from pipeline.metrics.bootstrap import interval, number, pair_weights

_BLOCK = 4_000_000  # weights held at once while resampling: 32 MB


def best_threshold(scores: np.ndarray, matches: np.ndarray) -> float:
    """The threshold on `scores` (n,) at which `score >= threshold` agrees best with `matches` (n,) bool.

    It lies halfway between two neighbouring scores; of several equally good ones the middle one is taken.
    Choose it on validation pairs, never on those that are then reported. Raises ValueError on no pairs.
    """
    scores, matches = _checked(scores, matches)
    values, place = np.unique(scores, return_inverse=True)
    yes = np.bincount(place, weights=matches, minlength=len(values))
    no = np.bincount(place, weights=~matches, minlength=len(values))
    # right[k]: pairs judged right when the k lowest distinct scores are called "no match"
    right = np.concatenate(([0], np.cumsum(no))) + yes.sum() - np.concatenate(([0], np.cumsum(yes)))
    best = np.flatnonzero(right == right.max())
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
    """Accuracy at `threshold` and area under the ROC curve, with 95% percentile bootstrap intervals.

    scores (n,) float, higher is a better match; matches (n,) bool. Ties count half in the AUC, which is the
    Mann-Whitney statistic. AUC is None where all pairs are of one kind.

    Pairs that share a clip are not independent, so what is drawn again is `groups`, not pairs: (n,) one
    group a pair, or (n, 2) the group of its sound and the group of its picture. With two, a pair of groups
    a and b counts as often as a was drawn times as often as b was (Owen 2007, "The pigeonhole bootstrap"),
    and a pair inside one group as often as that group was. None: every pair on its own.

    Returns {"accuracy", "auc", "n", "ci": {name: [low, high] or None}, "chance": {name: 0.5}}. The chance
    of 0.5 is that of a coin; pairs are expected to be balanced. Raises ValueError on no pairs, on lengths
    that differ and on scores that are not finite.
    """
    scores, matches = _checked(scores, matches)
    right = (scores >= threshold) == matches
    area = _Area(scores, matches)
    accuracies, areas = [], []
    for weights in pair_weights(groups, len(scores), bootstrap, seed):
        total = weights.sum(1)
        with np.errstate(invalid="ignore"):
            accuracies.append(weights @ right / np.where(total > 0, total, np.nan))
        areas.append(area(weights))
    return {
        "accuracy": number(right.mean()),
        "auc": number(area(np.ones((1, len(scores))))[0]),
        "n": len(scores),
        "ci": {"accuracy": interval(accuracies), "auc": interval(areas)},
        "chance": {"accuracy": 0.5, "auc": 0.5},
    }


def areas(
    scores: np.ndarray, matches: np.ndarray, groups: Sequence | np.ndarray | None, bootstrap: int, seed: int
) -> np.ndarray:
    """The AUC of every resample behind `correspondence`'s interval: (bootstrap,), NaN where it has none.

    The resamples are the same for the same groups, `bootstrap` and `seed`: two models that judged the same
    pairs may be compared one by one, which tells them apart far better than two intervals do.
    """
    scores, matches = _checked(scores, matches)
    area = _Area(scores, matches)
    return np.concatenate([area(w) for w in pair_weights(groups, len(scores), bootstrap, seed)])


def roc(scores: np.ndarray, matches: np.ndarray, points: int = 200) -> list[dict[str, float]]:
    """The ROC curve as at most `points` rows {"fpr", "tpr"}, from (0, 0) to (1, 1); empty for one kind only.

    Thinning keeps points that lie on the curve, evenly spaced along its length.
    """
    scores, matches = _checked(scores, matches)
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


def _checked(scores: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, matches = np.asarray(scores, np.float64), np.asarray(matches, bool)
    if scores.ndim != 1 or scores.shape != matches.shape:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} must both be (n,)")
    if not len(scores):
        raise ValueError("there are no pairs to score")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite numbers")
    return scores, matches


class _Area:
    """The AUC of the same pairs under many weights: sorted once, then a weighted Mann-Whitney count."""

    def __init__(self, scores: np.ndarray, matches: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.matches = matches[self.order]
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))  # where each tied run begins

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """weights (b, n) -> (b,), NaN where a row holds pairs of one kind only."""
        ordered = weights[:, self.order]
        yes = np.add.reduceat(ordered * self.matches, self.starts, axis=1)  # (b, distinct scores)
        no = np.add.reduceat(ordered * ~self.matches, self.starts, axis=1)
        below = np.cumsum(no, axis=1) - no / 2  # weight of mismatches under each score, ties half
        pairs = yes.sum(1) * no.sum(1)
        return (yes * below).sum(1) / np.where(pairs > 0, pairs, np.nan)
