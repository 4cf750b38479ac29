"""One experiment of a table: trained and evaluated, unless its model is there already."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import checkpoint, evaluation
from models.training import Experiment, inputs, train
from pipeline import engine
from pipeline.dataset import Dataset
from pipeline.shards import digest


def experiment(params: Any, **other: Any) -> Experiment:
    """What `params` say, but for `other`."""
    return Experiment.of(params, **other)


def run(
    params: Any, data: Dataset, out: str | Path, **other: Any
) -> tuple[checkpoint.Model, evaluation.Evaluation]:
    """Train what `params` say, but for `other` (audio_encoder, loss, seed, ...), and evaluate it.

    out: where the model goes; one that is there and was made from just the same is not trained again.
    """
    tried, given = experiment(params, **other), inputs(params)
    sections = params.train, params.augment
    settings = [asdict(tried), *(s.model_dump() for s in sections), given]
    fingerprint = digest(settings, engine.code_of("train", script=False), data.digest)
    if checkpoint.made_from(out) != fingerprint:
        with tempfile.TemporaryDirectory() as live:
            train(tried, *sections, given, data, out, live, fingerprint)
    model = checkpoint.load(out)
    wanted = params.pairing, params.label, params.evaluate.bootstrap, params.seed
    return model, evaluation.evaluate(model, data, *wanted)
