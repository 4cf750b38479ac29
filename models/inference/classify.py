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
    frames: int = 1,
) -> np.ndarray:
    """Return the class probabilities of clips, (n, classes) float64.

    blank: the modality to leave out, audio or video. swapped: as of Classification.swapped. frames: average
    the probabilities over so many frame positions, evenly spaced in the window.
    """
    if model.config["modality"] == "audio" or blank == "video":
        frames = 1  # the picture is not read
    predictions = [
        _activate(model.logits(data, clips, blank, swapped, (i + 0.5) / frames), model) for i in range(frames)
    ]
    return np.mean(predictions, axis=0)


def _activate(logits: np.ndarray, model: Model) -> np.ndarray:
    """Apply the sigmoid to multilabel logits, else the softmax."""
    logits = logits.astype(float)
    if model.module.multilabel:
        return 1 / (1 + np.exp(-logits.clip(-500, 500)))
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
