"""What a trained model is worth, on clips that neither training nor its choices ever saw."""

from dataclasses import asdict

from models.checkpoint import Model
from models.evaluation import classifier, inpainting, pairs
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset.dataset import Dataset

EVALUATIONS = {  # by the names that a task gives (models.tasks._base.Task.evaluations)
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
    looks: int = 1,
) -> Evaluation:
    """Judge a model on the test split's clips, as its task says. A score's threshold was set on validation.

    pairing, ..., looks: as of models.evaluation.result.Settings.
    """
    task, settings = model.module, Settings(pairing, label, bootstrap, seed, boxes, looks)
    result = Evaluation(
        metrics=task.extra_metrics(model, data, data.of("test"), bootstrap, seed),
        description=asdict(task.describe(model.config)),
    )
    for name in task.evaluations:
        result |= EVALUATIONS[name](model, data, settings)
    return result
