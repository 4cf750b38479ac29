"""Are these two recordings of one person? Trials, and how well a score tells them apart.

- A trial is a pair of clips of different videos; its score is the cosine of their embeddings, or, of sound
  and face together, the mean of both cosines.
- `eer`: the share of errors at the threshold where as many true pairs are refused as false ones accepted
  (between two thresholds, along the straight line).
- `min_dcf`: min over thresholds of (P miss + (1 - P) false) / min(P, 1 - P) with P = 0.05, equal costs: 1 is
  what refusing everybody gives (NIST's detection cost; P as in the VoxCeleb challenges, arXiv 2201.04583).
- `ci`: 95% percentile bootstrap over people: a trial counts as often as both of its people were drawn.

Lower is better in both.
"""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import interval, number, pair_weights

TARGET = 0.05
MOST = 50_000  # trials; of more, all of one person first, then as many drawn


def trials(subjects: list[str], groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of clips, (t,) and (t,) places in `subjects`, and (t,) whether one person is in both.

    groups: of each clip; clips of one group (a video) are not paired.
    """
    code = np.unique(subjects, return_inverse=True)[1]
    a, b = np.triu_indices(len(subjects), 1)
    other = groups[a] != groups[b]
    a, b = a[other], b[other]
    same = code[a] == code[b]
    rng = np.random.default_rng(seed)
    yes, no = (rng.permutation(np.flatnonzero(kind)) for kind in (same, ~same))
    yes = yes[: MOST // 2]
    keep = np.sort(np.concatenate([yes, no[: MOST - len(yes)]]))
    return a[keep], b[keep], same[keep]


def evaluate(
    scores: np.ndarray,
    same: np.ndarray,
    people: np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """{"eer", "min_dcf", "n", "n_same", "ci", "chance"}.

    scores, same: (t,) float and bool. people: (t, 2) who is in each side. Raises ValueError where all trials
    are of one kind.
    """
    scores, same = np.asarray(scores, float), np.asarray(same, bool)
    if same.all() or not same.any():
        raise ValueError("there must be trials of one person, and trials of two")
    errors = _Errors(scores, same)
    drawn = [errors(w) for w in pair_weights(people, len(scores), bootstrap, seed)]
    eer, cost = errors(np.ones((1, len(scores))))
    return {
        "eer": number(eer[0]),
        "min_dcf": number(cost[0]),
        "n": len(scores),
        "n_same": int(same.sum()),
        "ci": {"eer": interval([d[0] for d in drawn]), "min_dcf": interval([d[1] for d in drawn])},
        "chance": {"eer": 0.5, "min_dcf": 1.0},
    }


def eer(scores: np.ndarray, same: np.ndarray) -> float:
    """The equal error rate alone. scores, same: as of `evaluate`."""
    return float(_Errors(np.asarray(scores, float), same)(np.ones((1, len(scores))))[0][0])


class _Errors:
    """EER and minDCF of the same trials under many weights: sorted once."""

    def __init__(self, scores: np.ndarray, same: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.same = same[self.order]
        self.ends = np.flatnonzero(np.append(np.diff(scores[self.order]) != 0, True))  # of each tied run

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(b, t) to (b,) and (b,), NaN where trials of one kind only are drawn."""
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
