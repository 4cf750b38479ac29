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

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import interval, number, pair_weights

TARGET = 0.05  # P, the prior probability of a target trial
MAX_TRIALS = 50_000  # at most half of them of the same person; a random subset of larger sets


def trials(subjects: list[str], groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return trials: indices (t,) and (t,) into `subjects`, and (t,) bool, whether both are the same person.

    groups: of each clip; clips of one group (a video) are not paired.
    """
    code = np.unique(subjects, return_inverse=True)[1]
    a, b = np.triu_indices(len(subjects), 1)
    is_trial = groups[a] != groups[b]
    a, b = a[is_trial], b[is_trial]
    same = code[a] == code[b]
    rng = np.random.default_rng(seed)
    targets, nontargets = (rng.permutation(np.flatnonzero(x)) for x in (same, ~same))
    targets = targets[: MAX_TRIALS // 2]
    keep = np.sort(np.concatenate([targets, nontargets[: MAX_TRIALS - len(targets)]]))
    return a[keep], b[keep], same[keep]


def evaluate(
    scores: np.ndarray,
    same: np.ndarray,
    people: np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return {"eer", "min_dcf", "n", "n_same", "ci", "chance"}.

    scores, same: (t,) float and bool. people: (t, 2) the person of each side. Raises ValueError if all trials
    are of the same person, or none.
    """
    scores, same = np.asarray(scores, float), np.asarray(same, bool)
    if same.all() or not same.any():
        raise ValueError("trials must include pairs of one person and pairs of two persons")
    errors = _Errors(scores, same)
    resampled = [errors(w) for w in pair_weights(people, len(scores), bootstrap, seed)]
    eer, cost = errors(np.ones((1, len(scores))))
    return {
        "eer": number(eer[0]),
        "min_dcf": number(cost[0]),
        "n": len(scores),
        "n_same": int(same.sum()),
        "ci": {"eer": interval([e for e, _ in resampled]), "min_dcf": interval([c for _, c in resampled])},
        "chance": {"eer": 0.5, "min_dcf": 1.0},
    }


def eer(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the equal error rate alone. Arguments as in `evaluate`."""
    return float(_Errors(np.asarray(scores, float), same)(np.ones((1, len(scores))))[0][0])


class _Errors:
    """Compute EER and minDCF of the same trials under many weights; sort once."""

    def __init__(self, scores: np.ndarray, same: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.same = same[self.order]
        self.ends = np.flatnonzero(
            np.append(np.diff(scores[self.order]) != 0, True)
        )  # the last of each run of ties

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return EER and minDCF, (b,) each, under weights (b, t); NaN without trials of both kinds."""
        ordered = weights[:, self.order]
        below = [np.cumsum(ordered * kind, axis=1)[:, self.ends] for kind in (self.same, ~self.same)]
        total = [np.where(x[:, -1:] > 0, x[:, -1:], np.nan) for x in below]
        # Thresholds below all scores, then above each distinct one.
        zero = np.zeros((len(weights), 1))
        miss = np.hstack([zero, below[0] / total[0]])
        false = 1 - np.hstack([zero, below[1] / total[1]])
        cost = (TARGET * miss + (1 - TARGET) * false).min(1) / min(TARGET, 1 - TARGET)
        gap = miss - false  # rises from -1 to 1
        k = np.maximum((gap >= 0).argmax(1), 1)
        rows = np.arange(len(weights))
        g0, g1 = gap[rows, k - 1], gap[rows, k]
        share = -g0 / np.where(g1 > g0, g1 - g0, 1)
        eer = miss[rows, k - 1] + share * (miss[rows, k] - miss[rows, k - 1])
        return np.where(np.isnan(cost), np.nan, eer), cost
