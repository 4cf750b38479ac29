"""Class probabilities of a trained classifier."""

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
    place: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the class probabilities of clips, (n, classes) float64, for one window of each clip.

    clips: their row numbers in `data`, (n,).
    blank: the modality to leave out, "audio" or "video".
    swapped: classify by the modality that the model was not trained on (only for a stacked network that was
    trained on one modality).
    frames: average the probabilities over this number of frame positions, evenly spaced in the window.
    place: where in each clip the window lies, and where in it the frames, (n,) each, 0 to 1; None: the middle
    window, with frames as `frames` says.
    """
    if place is not None:
        window_position, frame_position = place
        logits = model.logits(data, clips, blank, swapped, frame_position, window_position)
        return _to_probabilities(logits, model)
    if model.config["modality"] == "audio" or blank == "video":
        frames = 1  # the picture is not read, so all frame positions give the same result
    frame_positions = [(i + 0.5) / frames for i in range(frames)]  # 0 to 1
    predictions = [
        _to_probabilities(model.logits(data, clips, blank, swapped, frame_position), model)
        for frame_position in frame_positions
    ]
    return np.mean(predictions, axis=0)


def _to_probabilities(logits: np.ndarray, model: Model) -> np.ndarray:
    """Apply the sigmoid to logits (n, classes) of a multilabel model, or the softmax to those of others."""
    logits = logits.astype(float)
    if model.module.multilabel:
        return 1 / (1 + np.exp(-logits.clip(-500, 500)))
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
