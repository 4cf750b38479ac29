"""Classification metrics with intervals, for one label per clip or several (multilabel).

Definitions, for probabilities of n clips over C classes:

- `accuracy`: the most probable class is the clip's (one label). `top_5`: the clip's class is among the five
  most probable; only with more than five classes.
- `f1_macro`: F1 = 2 TP / (2 TP + FP + FN), mean over the classes that the clips have. Multilabel: a class is
  predicted if its probability is above one half.
- `map`: average precision of each class over all clips (as sklearn.metrics.average_precision_score), mean
  over the classes that the clips have.
- `ece`: expected calibration error, in 15 bins of equal width of the largest probability: the mean distance
  of confidence and accuracy (Guo et al. 2017, arXiv 1706.04599). Multilabel: over all clips and classes.
  Lower is better.
- `chance`: the value of the best constant answer on the same clips.
- `ci`: 95% percentile bootstrap over `groups` (videos, or people).
"""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

BINS = 15
TOP = 5


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    multilabel: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all metrics; the top of this module defines them.

    probabilities: (n, C), rows of sum 1 unless `multilabel`. targets: (n, C) bool, one True per row unless
    `multilabel`. groups: (n,), clips of one group are not independent; None: each clip is its own group.
    Returns {metric: value, "n", "classes", "ci": {metric: [low, high]}, "chance": {metric: value}}.
    Raises ValueError on no clips, on different shapes and on probabilities that are not finite.
    """
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    if p.ndim != 2 or p.shape != y.shape or not p.size:
        raise ValueError(f"probabilities {p.shape} and targets {y.shape} must both be (n, classes), n > 0")
    if not np.isfinite(p).all():
        raise ValueError("there are probabilities that are not finite numbers")
    compute = _MultiLabel(p, y) if multilabel else _SingleLabel(p, y)
    code, count = encode_groups(np.arange(len(p)) if groups is None else groups)
    resampled: dict[str, list[np.ndarray]] = {}
    for weights in resample_groups(count, bootstrap, seed, width=max(len(p), p.shape[1])):
        for name, values in compute(weights[:, code]).items():
            resampled.setdefault(name, []).append(values)
    metrics = {name: round_finite(v[0]) for name, v in compute(np.ones((1, len(p)))).items()}
    return {
        **metrics,
        "n": len(p),
        "classes": int(y.any(0).sum()),
        "ci": {name: percentile_interval(resampled.get(name, [])) for name in metrics},
        "chance": compute.chance(),
    }


def per_class(
    probabilities: np.ndarray,
    targets: np.ndarray,
    names: list[str],
    multilabel: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return a row for each class: number of clips, precision, recall, F1 with interval, average precision.

    Arguments as in `evaluate`. Undefined values (precision of a class that is never predicted) are None.
    """
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    predictions = _predict(p, multilabel)
    code, count = encode_groups(np.arange(len(p)) if groups is None else groups)
    weights = resample_groups(count, bootstrap, seed, width=len(p))
    blocks = [_f1(w[:, code], predictions, y) for w in weights]
    resampled_f1 = np.concatenate(blocks) if blocks else np.empty((0, len(names)))
    rows = []
    for c, name in enumerate(names):
        hits, predicted, actual = (predictions[:, c] & y[:, c]).sum(), predictions[:, c].sum(), y[:, c].sum()
        low, high = percentile_interval([resampled_f1[:, c]]) or (None, None)
        average_precision = _AveragePrecision(p[:, c], y[:, c])
        rows.append(
            {
                "class": name,
                "n": int(actual),
                "precision": round_finite(hits / predicted) if predicted else None,
                "recall": round_finite(hits / actual) if actual else None,
                "f1": round_finite(2 * hits / (predicted + actual)) if actual else None,
                "f1_low": low if actual else None,
                "f1_high": high if actual else None,
                "ap": round_finite(average_precision(np.ones((1, len(p))))[0]) if actual else None,
            }
        )
    return rows


def calibration(probabilities: np.ndarray, targets: np.ndarray) -> list[dict[str, Any]]:
    """Return the non-empty bins behind `ece` (one label): {"confidence", "accuracy", "n"}."""
    p, y = np.asarray(probabilities, float), np.asarray(targets, bool)
    confidence, is_correct = p.max(1), y[np.arange(len(p)), p.argmax(1)]
    bins = _bin(confidence)
    return [
        {
            "confidence": round_finite(confidence[bins == b].mean()),
            "accuracy": round_finite(is_correct[bins == b].mean()),
            "n": int((bins == b).sum()),
        }
        for b in range(BINS)
        if (bins == b).any()
    ]


class _SingleLabel:
    """Compute the metrics of one label per clip, for many resamples at once."""

    def __init__(self, p: np.ndarray, y: np.ndarray) -> None:
        self.y, self.predictions = y, _predict(p, False)
        target_probability = p[y][:, None]
        # Ties count against the clip: at most TOP classes, with its own, may be as probable as its class.
        self.in_top = (p >= target_probability).sum(1) <= TOP
        self.confidence, self.is_correct = p.max(1), (self.predictions & y).any(1)
        self.average_precision = [_AveragePrecision(p[:, c], y[:, c]) for c in range(p.shape[1])]

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return metric -> (b,), for weights (b, n)."""
        total = weights.sum(1)
        total = np.where(total > 0, total, np.nan)
        metrics = {"accuracy": weights @ self.is_correct / total}
        if self.y.shape[1] > TOP:
            metrics[f"top_{TOP}"] = weights @ self.in_top / total
        metrics["f1_macro"] = _mean_over_present(_f1(weights, self.predictions, self.y), weights, self.y)
        metrics["map"] = _mean_over_present(_stack(weights, self.average_precision), weights, self.y)
        metrics["ece"] = _ece(weights, self.confidence, self.is_correct) / total
        return metrics

    def chance(self) -> dict[str, float | None]:
        share = np.sort(self.y.mean(0))[::-1]
        present = share[share > 0]
        largest = share[0]
        metrics = {
            "accuracy": largest,
            "f1_macro": 2 * largest / (1 + largest) / len(present),
            "map": present.mean(),
        }
        if len(share) > TOP:
            metrics[f"top_{TOP}"] = share[:TOP].sum()
        return {name: round_finite(v) for name, v in metrics.items()}


class _MultiLabel:
    """Compute the metrics of several labels per clip, for many resamples at once."""

    def __init__(self, p: np.ndarray, y: np.ndarray) -> None:
        self.y, self.predictions = y, _predict(p, True)
        self.confidence = np.maximum(p, 1 - p)
        self.is_correct = self.predictions == y
        self.average_precision = [_AveragePrecision(p[:, c], y[:, c]) for c in range(p.shape[1])]

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return metric -> (b,), for weights (b, n)."""
        classes = self.y.shape[1]
        total = weights.sum(1) * classes
        errors = _ece(np.repeat(weights, classes, 1), self.confidence.ravel(), self.is_correct.ravel())
        return {
            "f1_macro": _mean_over_present(_f1(weights, self.predictions, self.y), weights, self.y),
            "map": _mean_over_present(_stack(weights, self.average_precision), weights, self.y),
            "ece": errors / np.where(total > 0, total, np.nan),
        }

    def chance(self) -> dict[str, float | None]:
        share = self.y.mean(0)
        present = share[share > 0]
        # The best constant answer predicts every class for every clip.
        return {
            "f1_macro": round_finite((2 * present / (1 + present)).mean()),
            "map": round_finite(present.mean()),
        }


class _AveragePrecision:
    """Compute the average precision of one class under many weights; sort once. Ties share one threshold."""

    def __init__(self, scores: np.ndarray, y: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.y = y[self.order]
        self.ends = np.flatnonzero(np.append(np.diff(scores[self.order]) != 0, True))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return (b,) for weights (b, n); NaN if all clips of the class have weight 0."""
        ordered = weights[:, self.order]
        hits = np.cumsum(ordered * self.y, axis=1)[:, self.ends]
        predicted = np.cumsum(ordered, axis=1)[:, self.ends]
        gain = np.diff(hits, axis=1, prepend=0)
        total = hits[:, -1]
        precision = hits / np.where(predicted > 0, predicted, 1)
        return (gain * precision).sum(1) / np.where(total > 0, total, np.nan)


def _stack(weights: np.ndarray, average_precisions: list[_AveragePrecision]) -> np.ndarray:
    """Return the average precision of each class, (b, C)."""
    return np.stack([compute(weights) for compute in average_precisions], axis=1)


def _predict(p: np.ndarray, multilabel: bool) -> np.ndarray:
    """Return (n, C) bool, the predicted classes of each clip."""
    return p > 0.5 if multilabel else np.arange(p.shape[1]) == p.argmax(1)[:, None]


def _f1(weights: np.ndarray, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return F1 (b, C) for weights (b, n); NaN for a class that is neither present nor predicted."""
    hits, total = weights @ (predictions & y), weights @ predictions + weights @ y
    return 2 * hits / np.where(total > 0, total, np.nan)


def _mean_over_present(values: np.ndarray, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Average values (b, C) over the classes of which a clip has a weight above 0; return (b,)."""
    is_present = (weights @ y) > 0
    total = is_present.sum(1)
    return np.where(is_present, np.nan_to_num(values), 0).sum(1) / np.where(total > 0, total, np.nan)


def _bin(confidence: np.ndarray) -> np.ndarray:
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def _ece(weights: np.ndarray, confidence: np.ndarray, is_correct: np.ndarray) -> np.ndarray:
    """Return (b,): the weighted distances summed over the bins, not divided by the total weight."""
    gap = np.zeros((len(confidence), BINS))
    gap[np.arange(len(confidence)), _bin(confidence)] = is_correct - confidence
    return np.abs(weights @ gap).sum(1)
