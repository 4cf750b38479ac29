"""The probability of each class, by a trained classifier."""

import numpy as np

from models.checkpoint import Model
from pipeline.dataset.dataset import Dataset


def probabilities(
    model: Model,
    data: Dataset,
    clips: np.ndarray,
    blank: str | None = None,
    swapped: bool = False,
    looks: int = 1,
) -> np.ndarray:
    """(n, classes) float64. blank: the modality that is taken away. swapped: as of Classification.swapped.
    looks: the mean over so many places in the window, evenly spaced, at which it looks at the picture."""
    if model.config["modality"] == "audio" or blank == "video":
        looks = 1  # nothing is looked at
    found = [
        _activate(model.logits(data, clips, blank, swapped, frame_position=(i + 0.5) / looks), model)
        for i in range(looks)
    ]
    return np.mean(found, axis=0)


def _activate(logits: np.ndarray, model: Model) -> np.ndarray:
    logits = logits.astype(float)
    if model.module.multilabel:
        return 1 / (1 + np.exp(-logits.clip(-500, 500)))
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
