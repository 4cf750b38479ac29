"""One experiment of a table: trained and evaluated, unless its model is there already."""

from pathlib import Path
from typing import Any

from models import checkpoint, evaluation
from models.training import Experiment, inputs, train
from pipeline import engine
from pipeline.dataset import Dataset
from pipeline.shards import digest


def run(
    stage: str, params: Any, data: Dataset, out: str | Path, live: str | Path, **cell: Any
) -> tuple[checkpoint.Model, evaluation.Evaluation]:
    """Train what `params` say, but for `cell` (audio_encoder, loss, seed, ...), and evaluate it.

    stage: whose parameters and code the model depends on. out: where the model goes; one that is there and
    was made from just the same is not trained again. live: a folder for DVCLive's curves.
    """
    fingerprint = digest(engine.made_from(stage, params), data.digest, cell)
    if checkpoint.made_from(out) != fingerprint:
        experiment = Experiment.of(params, **cell)
        train(experiment, params.train, params.augment, inputs(params), data, out, live, fingerprint)
    model = checkpoint.load(out)
    sections = params.pairing, params.label, params.evaluate.bootstrap, params.seed
    return model, evaluation.evaluate(model, data, *sections)
