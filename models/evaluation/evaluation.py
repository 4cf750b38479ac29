"""Evaluation of a trained model on the test split, which neither training nor validation uses."""

from dataclasses import asdict

from models.checkpoint import Model
from models.evaluation import classifier, inpainting, pairs, zero_shot
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset.dataset import Dataset

# Name of an evaluation, as in `evaluations` of a task -> the function that does it.
EVALUATIONS = {
    "pairs": pairs.evaluate,
    "classes": classifier.evaluate,
    "reconstruction": inpainting.evaluate,
}


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Evaluate a model on the test split, with the evaluations that apply to its task."""
    task = model.module
    result = Evaluation(
        metrics=task.extra_metrics(model, data, data.indices("test"), settings.bootstrap, settings.seed),
        description=asdict(task.describe(model.config)),
    )
    for name in task.evaluations:
        result |= EVALUATIONS[name](model, data, settings)
    if settings.templates:
        options = settings.label, settings.templates, settings.bootstrap, settings.seed
        result.metrics["zero_shot"] = zero_shot.evaluate(model, data, *options)
    return result
