"""Train and evaluate one experiment of a table."""

from pathlib import Path
from typing import Any

from models import checkpoint
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.training.cached import train_cached
from pipeline.dataset.dataset import Dataset


def run(
    params: Any, data: Dataset, out: str | Path, **changes: Any
) -> tuple[checkpoint.Model, evaluation.Evaluation]:
    """Train the experiment of `params`, with `changes` (audio_encoder, loss, seed, ...), and evaluate it.

    out: the model's folder; a model there of the same data, parameters and code is not trained again.
    """
    model = train_cached(params, data, out, **changes)
    return model, evaluation.evaluate(model, data, Settings.from_params(params))
