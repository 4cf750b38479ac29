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

from pipeline.metrics.bootstrap import percentile_interval, resample_pairs, round_finite, summarize

BINS = 15  # of confidence, for the calibration error
TOP = 5  # classes, for `top_5`


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    multilabel: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all metrics of a classifier; the top of this module defines them.

    probabilities: (n, C), rows of sum 1 unless `multilabel`. targets: (n, C) bool, the classes of each clip,
    one True per row unless `multilabel`. groups: (n,), clips of one group are not independent; None: each
    clip is its own group. bootstrap: number of resamples of the groups.
    Returns {metric: value, "n", "classes", "ci": {metric: [low, high]}, "chance": {metric: value}}.
    Raises ValueError on no clips, on different shapes and on probabilities that are not finite.
    """
    probabilities, targets = np.asarray(probabilities, float), np.asarray(targets, bool)
    if probabilities.ndim != 2 or probabilities.shape != targets.shape or not probabilities.size:
        shapes = f"probabilities {probabilities.shape} and targets {targets.shape}"
        raise ValueError(f"{shapes} must both be (n, classes), n > 0")
    if not np.isfinite(probabilities).all():
        raise ValueError("there are probabilities that are not finite numbers")
    n, n_classes = probabilities.shape
    compute_metrics = metric_function(probabilities, targets, multilabel)
    metrics = summarize(compute_metrics, n, groups, bootstrap, seed, width=max(n, n_classes))
    return metrics | {"classes": int(targets.any(0).sum()), "chance": compute_metrics.chance()}


def metric_function(
    probabilities: np.ndarray, targets: np.ndarray, multilabel: bool
) -> "_SingleLabelMetrics | _MultiLabelMetrics":
    """Return a function of weights (b, n) of the clips that returns metric -> its values, (b,).

    probabilities: (n, C). targets: (n, C) bool. multilabel: whether a clip can have several classes.
    """
    return (_MultiLabelMetrics if multilabel else _SingleLabelMetrics)(probabilities, targets)


def evaluate_classes(
    probabilities: np.ndarray,
    targets: np.ndarray,
    names: list[str],
    multilabel: bool = False,
    groups: Any = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the metrics of each class: a row {"class", "n", "precision", "recall", "f1", its interval,
    "ap"}.

    probabilities: (n, C). targets: (n, C) bool, the classes of each clip. names: of the C classes.
    multilabel: whether a clip can have several classes. groups: (n,), clips of one group are not independent;
    None: each clip is its own group. bootstrap: number of resamples of the groups.
    In a row "n" is the number of clips, "f1_low" and "f1_high" are the interval of F1, "ap" is the average
    precision. Undefined values (the precision of a class that is never predicted) are None.
    """
    probabilities, targets = np.asarray(probabilities, float), np.asarray(targets, bool)
    n = len(probabilities)
    predictions = _predict(probabilities, multilabel)
    resampled_f1 = [np.empty((0, len(names)))]  # blocks (b, C)
    for weights in resample_pairs(groups, n, bootstrap, seed):
        resampled_f1.append(_f1(weights, predictions, targets))
    f1_values = np.concatenate(resampled_f1)
    rows = []
    for c, name in enumerate(names):
        n_correct = (predictions[:, c] & targets[:, c]).sum()
        n_predicted, n_actual = predictions[:, c].sum(), targets[:, c].sum()
        row: dict[str, Any] = {"class": name, "n": int(n_actual)}
        row["precision"] = round_finite(n_correct / n_predicted) if n_predicted else None
        row |= dict.fromkeys(("recall", "f1", "f1_low", "f1_high", "ap"))  # None
        if n_actual:
            row["recall"] = round_finite(n_correct / n_actual)
            row["f1"] = round_finite(2 * n_correct / (n_predicted + n_actual))
            row["f1_low"], row["f1_high"] = percentile_interval([f1_values[:, c]]) or (None, None)
            [average_precision] = _AveragePrecision(probabilities[:, c], targets[:, c])(np.ones((1, n)))
            row["ap"] = round_finite(average_precision)
        rows.append(row)
    return rows


def calibration_bins(probabilities: np.ndarray, targets: np.ndarray) -> list[dict[str, Any]]:
    """Return how often predictions of similar confidence are correct: {"confidence", "accuracy", "n"} per
    bin.

    probabilities: (n, C). targets: (n, C) bool, one class per clip. The bins are those of the metric `ece`:
    the range of the largest probability (the confidence) in BINS equal parts. Bins without clips are left
    out.
    """
    probabilities, targets = np.asarray(probabilities, float), np.asarray(targets, bool)
    confidence = probabilities.max(1)
    is_correct = targets[np.arange(len(targets)), probabilities.argmax(1)]
    bins = _bin_numbers(confidence)
    rows = []
    for number in range(BINS):
        in_bin = bins == number
        if in_bin.any():
            rows.append(
                {
                    "confidence": round_finite(confidence[in_bin].mean()),
                    "accuracy": round_finite(is_correct[in_bin].mean()),
                    "n": int(in_bin.sum()),
                }
            )
    return rows


class _SingleLabelMetrics:
    """Compute the metrics of one label per clip, for many resamples at once.

    targets: (n, C) bool, one True per row. predictions: (n, C) bool, True at the most probable class. in_top:
    (n,) whether the clip's class is among the TOP most probable ones. confidence: (n,) the largest
    probability. is_correct: (n,) bool. average_precisions: of each class, a function of the weights.
    """

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        self.targets = targets
        self.predictions = _predict(probabilities, multilabel=False)
        target_probability = probabilities[targets][:, None]
        # Ties count against the clip: at most TOP classes, with its own, may be as probable as its class.
        self.in_top = (probabilities >= target_probability).sum(1) <= TOP
        self.confidence = probabilities.max(1)
        self.is_correct = (self.predictions & targets).any(1)
        self.average_precisions = _average_precisions(probabilities, targets)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return metric -> value in each resample, (b,). weights: (b, n) of the clips in each resample."""
        total = weights.sum(1)
        total = np.where(total > 0, total, np.nan)
        f1 = _f1(weights, self.predictions, self.targets)
        average_precision = _stack(weights, self.average_precisions)
        metrics = {"accuracy": weights @ self.is_correct / total}
        if self.targets.shape[1] > TOP:
            metrics[f"top_{TOP}"] = weights @ self.in_top / total
        metrics["f1_macro"] = _mean_over_present(f1, weights, self.targets)
        metrics["map"] = _mean_over_present(average_precision, weights, self.targets)
        metrics["ece"] = _calibration_error(weights, self.confidence, self.is_correct) / total
        return metrics

    def chance(self) -> dict[str, float | None]:
        """Return the value of each metric if the answer is always the most frequent class."""
        frequencies = np.sort(self.targets.mean(0))[::-1]  # of the classes, the most frequent first
        present = frequencies[frequencies > 0]
        largest = frequencies[0]
        metrics = {
            "accuracy": largest,
            "f1_macro": 2 * largest / (1 + largest) / len(present),
            "map": present.mean(),
        }
        if len(frequencies) > TOP:
            metrics[f"top_{TOP}"] = frequencies[:TOP].sum()
        return {metric: round_finite(value) for metric, value in metrics.items()}


class _MultiLabelMetrics:
    """Compute the metrics of several labels per clip, for many resamples at once.

    targets: (n, C) bool. predictions: (n, C) bool, the classes above one half. confidence: (n, C) probability
    of what is predicted: that the clip has the class, or that it lacks it. is_correct: (n, C) bool.
    average_precisions: of each class, a function of the weights.
    """

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        self.targets = targets
        self.predictions = _predict(probabilities, multilabel=True)
        self.confidence = np.maximum(probabilities, 1 - probabilities)
        self.is_correct = self.predictions == targets
        self.average_precisions = _average_precisions(probabilities, targets)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return metric -> value in each resample, (b,). weights: (b, n) of the clips in each resample."""
        n_classes = self.targets.shape[1]
        total = weights.sum(1) * n_classes
        errors = _calibration_error(
            np.repeat(weights, n_classes, 1), self.confidence.ravel(), self.is_correct.ravel()
        )
        f1 = _f1(weights, self.predictions, self.targets)
        average_precision = _stack(weights, self.average_precisions)
        return {
            "f1_macro": _mean_over_present(f1, weights, self.targets),
            "map": _mean_over_present(average_precision, weights, self.targets),
            "ece": errors / np.where(total > 0, total, np.nan),
        }

    def chance(self) -> dict[str, float | None]:
        """Return the value of each metric if every class is predicted for every clip."""
        frequencies = self.targets.mean(0)
        present = frequencies[frequencies > 0]
        f1 = 2 * present / (1 + present)
        return {"f1_macro": round_finite(f1.mean()), "map": round_finite(present.mean())}


class _AveragePrecision:
    """Compute the average precision of one class under many weights; sort once.

    order: (n,) the clips in descending order of their scores. is_relevant: (n,) bool, whether they have the
    class, in that order. ends: the last place in that order of each distinct score: clips with the same score
    share one threshold.
    """

    def __init__(self, scores: np.ndarray, is_relevant: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.is_relevant = is_relevant[self.order]
        is_last = np.append(np.diff(scores[self.order]) != 0, True)
        self.ends = np.flatnonzero(is_last)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return (b,) for weights (b, n) of the clips; NaN if all clips of the class have weight 0."""
        ordered = weights[:, self.order]
        # (b, thresholds): weight of the relevant clips, and of all clips, from each threshold on
        relevant = np.cumsum(ordered * self.is_relevant, axis=1)[:, self.ends]
        predicted = np.cumsum(ordered, axis=1)[:, self.ends]
        gain = np.diff(relevant, axis=1, prepend=0)
        total = relevant[:, -1]
        precision = relevant / np.where(predicted > 0, predicted, 1)
        return (gain * precision).sum(1) / np.where(total > 0, total, np.nan)


def _average_precisions(probabilities: np.ndarray, targets: np.ndarray) -> list[_AveragePrecision]:
    """Return for each class the function that computes its average precision from weights."""
    return [_AveragePrecision(probabilities[:, c], targets[:, c]) for c in range(targets.shape[1])]


def _stack(weights: np.ndarray, average_precisions: list[_AveragePrecision]) -> np.ndarray:
    """Return the average precision of each class, (b, C), for weights (b, n) of the clips."""
    return np.stack([compute(weights) for compute in average_precisions], axis=1)


def _predict(probabilities: np.ndarray, multilabel: bool) -> np.ndarray:
    """Return the predicted classes, (n, C) bool: those above one half, or only the most probable one."""
    if multilabel:
        return probabilities > 0.5
    return np.arange(probabilities.shape[1]) == probabilities.argmax(1)[:, None]


def _f1(weights: np.ndarray, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return F1 (b, C) for weights (b, n); NaN for a class that is neither present nor predicted.

    predictions, targets: (n, C) bool.
    """
    correct = weights @ (predictions & targets)
    total = weights @ predictions + weights @ targets
    return 2 * correct / np.where(total > 0, total, np.nan)


def _mean_over_present(values: np.ndarray, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average values (b, C) over the classes that a clip of weight above 0 has; return (b,).

    weights: (b, n) of the clips. targets: (n, C) bool, the classes of the clips.
    """
    is_present = (weights @ targets) > 0
    n_present = is_present.sum(1)
    sums = np.where(is_present, np.nan_to_num(values), 0).sum(1)
    return sums / np.where(n_present > 0, n_present, np.nan)


def _bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """Return the number of the bin, 0 to BINS - 1, of each confidence (n,), 0 to 1."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def _calibration_error(weights: np.ndarray, confidence: np.ndarray, is_correct: np.ndarray) -> np.ndarray:
    """Return the weighted distances of confidence and accuracy, summed over the bins: (b,).

    weights: (b, n). confidence, is_correct: (n,). The sum is not divided by the total weight.
    """
    gap = np.zeros((len(confidence), BINS))
    gap[np.arange(len(confidence)), _bin_numbers(confidence)] = is_correct - confidence
    return np.abs(weights @ gap).sum(1)
