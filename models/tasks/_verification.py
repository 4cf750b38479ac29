"""Verification: do two recordings show the same person? Also for people who are not in the training split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.dataset import Dataset
from pipeline.metrics import verification


@dataclass(frozen=True)
class Trials:
    """Trials of verification. A trial is a pair of clips from different recordings; n clips make t trials.

    clips: (n,) indices in the data set, ascending. subjects: (n,) names of the people in them. first, second:
    (t,) the two clips of each trial, as indices into `clips`. is_same: (t,) bool, whether both clips of a
    trial show the same person.
    """

    clips: np.ndarray
    subjects: np.ndarray
    first: np.ndarray
    second: np.ndarray
    is_same: np.ndarray

    @classmethod
    def draw(cls, data: Dataset, clips: np.ndarray, seed: int) -> "Trials | None":
        """Draw trials among `clips`, indices in the data set; those without a subject are left out.

        Returns None if there are no trials of the same person, or none of different people.
        """
        clips = np.array(sorted(clip for clip in clips if data.subject[clip]), int)
        subjects = np.array([data.subject[clip] for clip in clips], object)
        if len(clips) < 2:
            return None
        first, second, is_same = verification.select_trials(subjects.tolist(), data.recording[clips], seed)
        has_both_kinds = is_same.any() and not is_same.all()
        return cls(clips, subjects, first, second, is_same) if has_both_kinds else None

    def score(self, embeddings: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score each trial by the cosine similarity of its clips' embeddings.

        embeddings: modality -> (n, dim), vectors of length 1 of `clips`, in their order.
        Returns modality -> scores (t,). For two modalities there are also the means of their scores, under
        `both`, as the last entry.
        """
        scores = {
            modality: (vectors[self.first].astype(float) * vectors[self.second]).sum(1)
            for modality, vectors in embeddings.items()
        }
        if len(scores) == 2:
            scores["both"] = (scores["audio"] + scores["video"]) / 2
        return scores

    def evaluate(self, scores: dict[str, np.ndarray], bootstrap: int, seed: int) -> dict[str, Any]:
        """Compute EER and minDCF for each modality, and for the mean score of both, with their intervals.

        scores: what `score` returns. bootstrap: number of resamples of the people, from which the intervals
        come.
        """
        people = np.stack([self.subjects[self.first], self.subjects[self.second]], axis=1)
        return {
            modality: verification.evaluate(modality_scores, self.is_same, people, bootstrap, seed)
            for modality, modality_scores in scores.items()
        }

    def equal_error_rate(self, clips: np.ndarray, embeddings: dict[str, np.ndarray]) -> float:
        """Compute the equal error rate (0 to 1) of the only modality or, if there are two, of both together.

        clips: (n,) the same clips as `self.clips`, in any order. embeddings: modality -> (n, dim), vectors of
        length 1 in the order of the argument `clips`.
        """
        order = np.argsort(clips)
        scores = self.score({modality: vectors[order] for modality, vectors in embeddings.items()})
        scores_of_all = list(scores.values())[-1]  # `both`, if there are two modalities
        return verification.equal_error_rate(scores_of_all, self.is_same)
