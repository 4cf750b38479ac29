"""Speaker and face verification: are two recordings of the same person?

- A trial is a pair of clips of different videos; its score is the cosine of their embeddings, or, for sound
  and face together, the mean of both cosines.
- `eer`: equal error rate, at the threshold where false rejections and false acceptances are equally frequent
  (linearly interpolated between two thresholds).
- `min_dcf`: min over thresholds of (P miss + (1 - P) false) / min(P, 1 - P) with P = 0.05, equal costs: 1 is
  the value of rejecting every trial (NIST's detection cost; P as in the VoxCeleb challenges, arXiv
  2201.04583).
- `ci`: 95% percentile bootstrap over people: a trial's weight is the product of the counts of its people.

Lower is better for both.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import summarize

TARGET_PROBABILITY = 0.05  # P: the prior probability that a trial is of one person
MAX_TRIALS = 50_000  # at most half of them of one person; a random subset if there are more


def select_trials(
    subjects: list[str], groups: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of clips to compare: at most MAX_TRIALS of all pairs of clips of different groups.

    subjects: (n,) the person in each clip. groups: (n,) the video of each clip; clips of one are not paired.
    Returns the indices (t,) of the first and of the second clips, and is_same (t,) bool, whether both clips
    are of one person.
    """
    person = np.unique(subjects, return_inverse=True)[1]
    first, second = np.triu_indices(len(subjects), 1)  # all pairs
    is_trial = groups[first] != groups[second]
    first, second = first[is_trial], second[is_trial]
    is_same = person[first] == person[second]
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.flatnonzero(is_same))[: MAX_TRIALS // 2]
    nontargets = rng.permutation(np.flatnonzero(~is_same))[: MAX_TRIALS - len(targets)]
    selected = np.sort(np.concatenate([targets, nontargets]))
    return first[selected], second[selected], is_same[selected]


def evaluate(
    scores: np.ndarray,
    is_same: np.ndarray,
    people: np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the equal error rate and the minimum detection cost; the top of this module defines them.

    scores: (t,) float, of each trial, higher if the clips are more similar. is_same: (t,) bool, whether both
    clips of a trial are of one person. people: (t, 2) the persons of both clips, which are resampled; None:
    every trial is resampled for itself. bootstrap: number of resamples.
    Returns {"eer", "min_dcf", "n", "n_same", "ci": {metric: [low, high]}, "chance": {metric: value}}. Raises
    ValueError if all trials are of one person, or none.
    """
    scores, is_same = np.asarray(scores, float), np.asarray(is_same, bool)
    if is_same.all() or not is_same.any():
        raise ValueError("trials must include pairs of one person and pairs of two persons")
    compute_metrics = metric_function(scores, is_same)
    metrics = summarize(compute_metrics, len(scores), people, bootstrap, seed)
    return metrics | {"n_same": int(is_same.sum()), "chance": {"eer": 0.5, "min_dcf": 1.0}}


def metric_function(scores: np.ndarray, is_same: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function of weights (b, t) of the trials that returns "eer" and "min_dcf", (b,) each.

    scores: (t,). is_same: (t,) bool.
    """
    compute_errors = ErrorRates(scores, is_same)
    return lambda weights: dict(zip(("eer", "min_dcf"), compute_errors(weights), strict=True))


def equal_error_rate(scores: np.ndarray, is_same: np.ndarray) -> float:
    """Return the equal error rate of trials, without an interval.

    scores: (t,) float, higher if the clips are more similar. is_same: (t,) bool, whether both clips of a
    trial are of one person.
    """
    [eer], _ = ErrorRates(np.asarray(scores, float), is_same)(np.ones((1, len(scores))))
    return float(eer)


class ErrorRates:
    """Compute EER and minDCF of the same trials under many weights; sort once.

    order: (t,) the trials in ascending order of their scores. is_same: (t,) bool, in that order. ends: the
    last place in that order of each distinct score: no threshold lies between equal scores.
    """

    def __init__(self, scores: np.ndarray, is_same: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.is_same = is_same[self.order]
        is_last = np.append(np.diff(scores[self.order]) != 0, True)
        self.ends = np.flatnonzero(is_last)

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return EER and minDCF, (b,) each, under weights (b, t); NaN without trials of both kinds."""
        miss, false_alarm = self.rates(weights)
        costs = TARGET_PROBABILITY * miss + (1 - TARGET_PROBABILITY) * false_alarm
        min_dcf = costs.min(1) / min(TARGET_PROBABILITY, 1 - TARGET_PROBABILITY)
        # The gap rises from -1 to 1 with the threshold. EER is where it is 0: between thresholds k - 1 and k.
        gap = miss - false_alarm
        k = np.maximum((gap >= 0).argmax(1), 1)
        rows = np.arange(len(weights))
        gap_before, gap_after = gap[rows, k - 1], gap[rows, k]
        fraction = -gap_before / np.where(gap_after > gap_before, gap_after - gap_before, 1)
        eer = miss[rows, k - 1] + fraction * (miss[rows, k] - miss[rows, k - 1])
        return np.where(np.isnan(min_dcf), np.nan, eer), min_dcf

    def rates(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how often trials are falsely rejected and falsely accepted, (b, thresholds) each.

        weights: (b, t). The first threshold is below all scores, then one follows above each distinct score.
        """
        ordered = weights[:, self.order]
        miss = self._fraction_below(ordered * self.is_same)  # false rejections
        return miss, 1 - self._fraction_below(ordered * ~self.is_same)

    def _fraction_below(self, weights: np.ndarray) -> np.ndarray:
        """Return the fraction of the weight below each threshold, (b, thresholds); NaN if all weights are 0.

        weights: (b, t) in ascending order of the scores. The first threshold is below all scores, then one
        follows above each distinct score.
        """
        below = np.cumsum(weights, axis=1)[:, self.ends]
        total = below[:, -1:]
        return np.hstack([np.zeros((len(weights), 1)), below / np.where(total > 0, total, np.nan)])
