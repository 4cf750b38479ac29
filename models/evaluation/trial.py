"""One experiment of a table: trained and evaluated, unless its model is there already."""

from pathlib import Path
from typing import Any

from models import checkpoint
from models.evaluation import evaluation
from models.training.cached import train_cached
from models.training.experiment import configure, inputs
from pipeline.dataset.dataset import Dataset


def run(
    params: Any, data: Dataset, out: str | Path, **other: Any
) -> tuple[checkpoint.Model, evaluation.Evaluation]:
    """Train what `params` say, but for `other` (audio_encoder, loss, seed, ...), and evaluate it.

    out: where the model goes; one that is there and was made from just the same is not trained again.
    """
    model = train_cached(
        configure(params, **other),
        data,
        out,
        settings=params.train,
        augmentation=params.augment,
        inputs=inputs(params),
    )
    wanted = params.pairing, params.label, params.evaluate.bootstrap, params.seed
    return model, evaluation.evaluate(model, data, *wanted, looks=params.evaluate.frames)
