"""Verification: are two recordings of one person, also of one that training never saw?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.dataset import Dataset
from pipeline.metrics import verification


@dataclass(frozen=True)
class Trials:
    """Pairs of clips of different recordings.

    clips: (n,) their numbers in the data set, ascending. people: (n,) who is in each. a, b: (t,) places in
    `clips`. same: (t,) bool, whether one person is in both.
    """

    clips: np.ndarray
    people: np.ndarray
    a: np.ndarray
    b: np.ndarray
    same: np.ndarray

    @classmethod
    def of(cls, data: Dataset, clips: np.ndarray, seed: int) -> "Trials | None":
        """The trials among `clips`; None without pairs of one person, or without pairs of two."""
        clips = np.array(sorted(i for i in clips if data.subject[i]), int)
        people = np.array([data.subject[i] for i in clips], object)
        if len(clips) < 2:
            return None
        a, b, same = verification.trials(people.tolist(), data.recording[clips], seed)
        return None if same.all() or not same.any() else cls(clips, people, a, b, same)

    def scores(self, sides: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Embeddings of `clips` by modality, (n, dim) each of length 1, to scores (t,): the cosine by each
        modality, and of two the mean of both cosines as `both`."""
        scores = {side: (x[self.a].astype(float) * x[self.b]).sum(1) for side, x in sides.items()}
        if len(scores) == 2:
            scores["both"] = (scores["audio"] + scores["video"]) / 2
        return scores

    def evaluate(self, sides: dict[str, np.ndarray], bootstrap: int, seed: int) -> dict[str, Any]:
        """Embeddings, as of `scores`, to EER and minDCF by each modality; intervals are over people."""
        ends = np.stack([self.people[self.a], self.people[self.b]], axis=1)
        return {
            side: verification.evaluate(scores, self.same, ends, bootstrap, seed)
            for side, scores in self.scores(sides).items()
        }

    def eer(self, clips: np.ndarray, sides: dict[str, np.ndarray]) -> float:
        """The equal error rate by all modalities. clips: (n,) the order in which the embeddings come."""
        order = np.argsort(clips)
        *_, scores = self.scores({side: x[order] for side, x in sides.items()}).values()
        return verification.eer(scores, self.same)
