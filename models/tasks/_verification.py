"""Verification: do two recordings show the same person? Also for people who are not in the training split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.dataset import Dataset
from pipeline.metrics import verification


@dataclass(frozen=True)
class Trials:
    """Trials of verification: pairs of clips from different recordings.

    clips: (n,) numbers in the data set, ascending. subjects: (n,) the person in each. first, second: (t,)
    positions in `clips`. is_same: (t,) bool, whether both clips of a trial show the same person.
    """

    clips: np.ndarray
    subjects: np.ndarray
    first: np.ndarray
    second: np.ndarray
    is_same: np.ndarray

    @classmethod
    def draw(cls, data: Dataset, clips: np.ndarray, seed: int) -> "Trials | None":
        """Draw trials among `clips`. Returns None if all or none of them are of the same person."""
        clips = np.array(sorted(i for i in clips if data.subject[i]), int)
        subjects = np.array([data.subject[i] for i in clips], object)
        if len(clips) < 2:
            return None
        first, second, is_same = verification.select_trials(subjects.tolist(), data.recording[clips], seed)
        has_both_kinds = is_same.any() and not is_same.all()
        return cls(clips, subjects, first, second, is_same) if has_both_kinds else None

    def scores(self, sides: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score the trials by cosine similarity: (t,) for each modality, and as `both` the mean of two.

        sides: modality -> embeddings of `clips`, (n, dim), of length 1.
        """
        scores = {side: (x[self.first].astype(float) * x[self.second]).sum(1) for side, x in sides.items()}
        if len(scores) == 2:
            scores["both"] = (scores["audio"] + scores["video"]) / 2
        return scores

    def evaluate(self, sides: dict[str, np.ndarray], bootstrap: int, seed: int) -> dict[str, Any]:
        """Compute EER and minDCF for each modality, with intervals over people. sides: as of `scores`."""
        ends = np.stack([self.subjects[self.first], self.subjects[self.second]], axis=1)
        return {
            side: verification.evaluate(scores, self.is_same, ends, bootstrap, seed)
            for side, scores in self.scores(sides).items()
        }

    def eer(self, clips: np.ndarray, sides: dict[str, np.ndarray]) -> float:
        """Compute the equal error rate of all modalities. clips: (n,) in the order of the embeddings."""
        order = np.argsort(clips)
        *_, scores = self.scores({side: x[order] for side, x in sides.items()}).values()
        return verification.equal_error_rate(scores, self.is_same)
