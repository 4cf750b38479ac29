"""Evaluation of a trained model on the test split, which neither training nor validation uses."""

from dataclasses import asdict

from models.checkpoint import Model
from models.evaluation import classifier, inpainting, pairs
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset.dataset import Dataset

EVALUATIONS = {  # keys: models.tasks._base.Task.evaluations
    "pairs": pairs.evaluate,
    "classes": classifier.evaluate,
    "reconstruction": inpainting.evaluate,
}


def evaluate(
    model: Model,
    data: Dataset,
    pairing: str,
    label: str,
    bootstrap: int,
    seed: int,
    boxes: dict | None = None,
    frame_positions: int = 1,
) -> Evaluation:
    """Evaluate a model on the test split, with the evaluations of its task.

    pairing to frame_positions: as in models.evaluation.result.Settings.
    """
    task, settings = model.module, Settings(pairing, label, bootstrap, seed, boxes, frame_positions)
    result = Evaluation(
        metrics=task.extra_metrics(model, data, data.indices("test"), bootstrap, seed),
        description=asdict(task.describe(model.config)),
    )
    for name in task.evaluations:
        result |= EVALUATIONS[name](model, data, settings)
    return result
