"""Train and evaluate one experiment of a table."""

from pathlib import Path
from typing import Any

from models import checkpoint
from models.device import choose_device
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.training.cached import train_cached
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import predictions


def run(
    params: Any, data: Dataset, out: str | Path, device: str | None = None, **changes: Any
) -> tuple[checkpoint.Model, evaluation.Evaluation]:
    """Train the experiment that params.yaml describes, with some changes, and evaluate it on the test split.

    Its predictions are written beside the model, for `python -m experiments compare`.

    params: the content of params.yaml. out: the folder of the model; if there is one from the same data,
    parameters and code, it is loaded instead of trained again. device: where to evaluate; None: on a GPU, if
    there is one. changes: fields of the experiment, such as audio_encoder, loss or seed, whose values replace
    those in `params`.
    """
    trained = train_cached(params, data, out, **changes)
    model = checkpoint.Model(trained.module, trained.config, choose_device(device))
    result = evaluation.evaluate(model, data, Settings.from_params(params))
    predictions.write(result.predictions, Path(out) / predictions.FILE)
    return model, result
