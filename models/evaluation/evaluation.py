"""Evaluation of a trained model on the test split, which neither training nor validation uses."""

from dataclasses import asdict
from importlib import import_module

from models.checkpoint import Model
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset.dataset import Dataset

# Name of an evaluation, as in `evaluations` of a task -> the module with its `evaluate`.
EVALUATIONS = {"pairs": "pairs", "classes": "classifier", "reconstruction": "inpainting"}


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Evaluate a model on the test split, with the evaluations that apply to its task."""
    task = model.module
    result = Evaluation(
        metrics=task.extra_metrics(model, data, data.indices("test"), settings.bootstrap, settings.seed),
        description=asdict(task.describe(model.config)),
    )
    for name in task.evaluations:
        result |= import_module(f"{__package__}.{EVALUATIONS[name]}").evaluate(model, data, settings)
    if settings.templates:
        from models.evaluation import zero_shot

        options = settings.label, settings.templates, settings.bootstrap, settings.seed
        result.metrics["zero_shot"] = zero_shot.evaluate(model, data, *options)
    if settings.protocols and settings.protocols.names:
        from models.evaluation import protocols

        result.metrics["protocol"] = protocols.evaluate(
            model, data, settings.protocols, settings.bootstrap, settings.seed
        )
    return result
