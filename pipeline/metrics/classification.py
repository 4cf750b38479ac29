"""How well labels are told, and how sure that number is.

Definitions, for probabilities of n clips over C classes:

- `accuracy`: the likeliest class is the clip's (one label). `top_5`: it is among the five likeliest; there
  from six classes on.
- `f1_macro`: F1 = 2 TP / (2 TP + FP + FN), mean over the classes that the clips have. With many labels a
  class is told where its probability is above one half.
- `map`: average precision of each class over all clips (as sklearn.metrics.average_precision_score), mean
  over the classes that the clips have.
- `ece`: expected calibration error, in 15 bins of equal width of the likeliest class's probability: the
  mean distance of confidence and accuracy (Guo et al. 2017, arXiv 1706.04599). With many labels, of each
  decision. Lower is better.
- `chance`: what the best answer that looks at nothing gives, on the same clips.
- `ci`: 95% percentile bootstrap over `groups` (videos, or people).
"""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import codes, interval, number, resamples

BINS = 15
TOP = 5


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    many: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics; what they mean stands at the top of this module.

    probabilities: (n, C), rows of sum 1 unless `many`. targets: (n, C) bool, one True a row unless `many`.
    groups: (n,) those that are not independent of each other; None: each clip on its own.
    Returns {metric: value, "n", "classes", "ci": {metric: [low, high]}, "chance": {metric: value}}.
    Raises ValueError on no clips, on shapes that differ and on probabilities that are not finite.
    """
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    if p.ndim != 2 or p.shape != y.shape or not p.size:
        raise ValueError(f"probabilities {p.shape} and targets {y.shape} must both be (n, classes), n > 0")
    if not np.isfinite(p).all():
        raise ValueError("there are probabilities that are not finite numbers")
    measure = _Many(p, y) if many else _One(p, y)
    code, count = codes(np.arange(len(p)) if groups is None else groups)
    found: dict[str, list[np.ndarray]] = {}
    for drawn in resamples(count, bootstrap, seed, width=max(len(p), p.shape[1])):
        for name, each in measure(drawn[:, code]).items():
            found.setdefault(name, []).append(each)
    values = {name: number(v[0]) for name, v in measure(np.ones((1, len(p)))).items()}
    return {
        **values,
        "n": len(p),
        "classes": int(y.any(0).sum()),
        "ci": {name: interval(found.get(name, [])) for name in values},
        "chance": measure.chance(),
    }


def per_class(
    probabilities: np.ndarray,
    targets: np.ndarray,
    names: list[str],
    many: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A row for each class: its clips, precision, recall and F1 with its interval, average precision.

    Arguments as of `evaluate`. What cannot be said (the precision of a class that is never told) is None.
    """
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    told = _told(p, many)
    code, count = codes(np.arange(len(p)) if groups is None else groups)
    resampled = [_f1(drawn[:, code], told, y) for drawn in resamples(count, bootstrap, seed, width=len(p))]
    spread = np.concatenate(resampled) if resampled else np.empty((0, len(names)))
    rows = []
    for c, name in enumerate(names):
        hits, said, there = (told[:, c] & y[:, c]).sum(), told[:, c].sum(), y[:, c].sum()
        low, high = interval([spread[:, c]]) or (None, None)
        rows.append(
            {
                "class": name,
                "n": int(there),
                "precision": number(hits / said) if said else None,
                "recall": number(hits / there) if there else None,
                "f1": number(2 * hits / (said + there)) if there else None,
                "f1_low": low if there else None,
                "f1_high": high if there else None,
                "ap": number(_Precision(p[:, c], y[:, c])(np.ones((1, len(p))))[0]) if there else None,
            }
        )
    return rows


def calibration(probabilities: np.ndarray, targets: np.ndarray) -> list[dict[str, Any]]:
    """The bins behind `ece` (one label) that have clips: {"confidence", "accuracy", "n"}."""
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    sure, right = p.max(1), y[np.arange(len(p)), p.argmax(1)]
    place = _bin(sure)
    return [
        {
            "confidence": number(sure[place == b].mean()),
            "accuracy": number(right[place == b].mean()),
            "n": int((place == b).sum()),
        }
        for b in range(BINS)
        if (place == b).any()
    ]


class _One:
    """The metrics of one label a clip, under many weights (b, n) at once."""

    def __init__(self, p: np.ndarray, y: np.ndarray) -> None:
        self.y, self.told = y, _told(p, False)
        own = p[y][:, None]
        # Ties count against: a class is among the five likeliest where fewer than five are as likely.
        self.top = (p >= own).sum(1) <= TOP
        self.sure, self.right = p.max(1), (self.told & y).any(1)
        self.precision = [_Precision(p[:, c], y[:, c]) for c in range(p.shape[1])]

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1)
        total = np.where(total > 0, total, np.nan)
        found = {"accuracy": weights @ self.right / total}
        if self.y.shape[1] > TOP:
            found[f"top_{TOP}"] = weights @ self.top / total
        found["f1_macro"] = _mean_of_seen(_f1(weights, self.told, self.y), weights, self.y)
        found["map"] = _mean_of_seen(_precisions(weights, self.precision), weights, self.y)
        found["ece"] = _ece(weights, self.sure, self.right) / total
        return found

    def chance(self) -> dict[str, float | None]:
        share = np.sort(self.y.mean(0))[::-1]
        seen = share[share > 0]
        most = share[0]
        found = {"accuracy": most, "f1_macro": 2 * most / (1 + most) / len(seen), "map": seen.mean()}
        if len(share) > TOP:
            found[f"top_{TOP}"] = share[:TOP].sum()
        return {name: number(v) for name, v in found.items()}


class _Many:
    """The metrics of many labels a clip."""

    def __init__(self, p: np.ndarray, y: np.ndarray) -> None:
        self.y, self.told = y, _told(p, True)
        self.sure = np.maximum(p, 1 - p)
        self.right = self.told == y
        self.precision = [_Precision(p[:, c], y[:, c]) for c in range(p.shape[1])]

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(1) * self.y.shape[1]
        errors = _ece(np.repeat(weights, self.y.shape[1], 1), self.sure.ravel(), self.right.ravel())
        return {
            "f1_macro": _mean_of_seen(_f1(weights, self.told, self.y), weights, self.y),
            "map": _mean_of_seen(_precisions(weights, self.precision), weights, self.y),
            "ece": errors / np.where(total > 0, total, np.nan),
        }

    def chance(self) -> dict[str, float | None]:
        share = self.y.mean(0)
        seen = share[share > 0]
        # The best blind answer tells every class of every clip.
        return {"f1_macro": number((2 * seen / (1 + seen)).mean()), "map": number(seen.mean())}


class _Precision:
    """The average precision of one class under many weights: sorted once. Ties stand at one threshold."""

    def __init__(self, scores: np.ndarray, y: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.y = y[self.order]
        self.ends = np.flatnonzero(np.append(np.diff(scores[self.order]) != 0, True))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """(b, n) to (b,), NaN where no clip of the class is drawn."""
        ordered = weights[:, self.order]
        hits = np.cumsum(ordered * self.y, axis=1)[:, self.ends]
        told = np.cumsum(ordered, axis=1)[:, self.ends]
        gain = np.diff(hits, axis=1, prepend=0)
        total = hits[:, -1]
        precision = hits / np.where(told > 0, told, 1)
        return (gain * precision).sum(1) / np.where(total > 0, total, np.nan)


def _precisions(weights: np.ndarray, classes: list[_Precision]) -> np.ndarray:
    return np.stack([one(weights) for one in classes], axis=1)


def _told(p: np.ndarray, many: bool) -> np.ndarray:
    return p > 0.5 if many else np.arange(p.shape[1]) == p.argmax(1)[:, None]


def _f1(weights: np.ndarray, told: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(b, n) to (b, C), NaN where a class is neither there nor told."""
    hits, both = weights @ (told & y), weights @ told + weights @ y
    return 2 * hits / np.where(both > 0, both, np.nan)


def _mean_of_seen(values: np.ndarray, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(b, C) to (b,): over the classes of which a clip was drawn."""
    seen = (weights @ y) > 0
    total = seen.sum(1)
    return np.where(seen, np.nan_to_num(values), 0).sum(1) / np.where(total > 0, total, np.nan)


def _bin(sure: np.ndarray) -> np.ndarray:
    return np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)


def _ece(weights: np.ndarray, sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(b, n) to (b,): the distances of all bins, weighed but not yet divided by all weights."""
    gap = np.zeros((len(sure), BINS))
    gap[np.arange(len(sure)), _bin(sure)] = right - sure
    return np.abs(weights @ gap).sum(1)
