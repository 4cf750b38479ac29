"""Zero-shot classification: classes by their names alone, through the text side of a tower.

A class is the mean of the embeddings of its name in several templates (CLIP, arXiv 2103.00020, 3.1.4). The
class of a clip is the one whose embedding has the largest cosine with that of its sound, or of its picture.
"""

from typing import Any

import numpy as np

from models.checkpoint import Model
from models.inference.words import embed_texts
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import classification

SHARPNESS = 100.0  # cosines are multiplied by it before the softmax, as CLIP's are after its training


def evaluate(
    model: Model, data: Dataset, label: str, templates: tuple[str, ...], bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return "audio", "video" -> metrics of classification, as pipeline.metrics.classification defines them.

    label: the parameter of that name: which column has the class of a clip. templates: texts with `{label}`.
    Test clips with exactly one label count; the classes are all labels that they have. The cosine decides
    `accuracy`; `ece` is of probabilities that nothing has calibrated.
    Raises UserError if the model does not understand words, or there are fewer than two classes.
    """
    labels = data.class_names(label)
    clips = np.array([clip for clip in data.indices("test") if len(labels[clip]) == 1], int)
    classes = sorted({labels[clip][0] for clip in clips})
    if len(classes) < 2:
        raise UserError(f"evaluate.zero_shot: {len(classes)} classes in the test split: it needs at least 2")
    class_vectors = embed_classes(model, classes, templates)
    targets = np.array([[labels[clip][0] == name for name in classes] for clip in clips])
    groups = data.group[clips].tolist()
    results = {}
    # A model of one modality returns its embeddings twice, but has only one name for them.
    for side, vectors in zip(model.module.embedding_names, model.embed(data, clips), strict=False):
        logits = SHARPNESS * vectors @ class_vectors.T
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        results[side] = classification.evaluate(probabilities, targets, False, groups, bootstrap, seed)
    return results


def embed_classes(model: Model, classes: list[str], templates: tuple[str, ...]) -> np.ndarray:
    """Return the embedding of each class, (classes, dim) of length 1: the mean over templates."""
    texts = [template.replace("{label}", name) for name in classes for template in templates]
    _, embeddings = embed_texts(model, texts)
    means = embeddings.reshape(len(classes), len(templates), -1).mean(1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)
