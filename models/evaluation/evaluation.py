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


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Evaluate a model on the test split, with the evaluations of its task."""
    task = model.module
    result = Evaluation(
        metrics=task.extra_metrics(model, data, data.indices("test"), settings.bootstrap, settings.seed),
        description=asdict(task.describe(model.config)),
    )
    for name in task.evaluations:
        result |= EVALUATIONS[name](model, data, settings)
    return result
