"""Models that are trained once: what is there and was made from just the same is not made again."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import checkpoint
from models.training import Experiment, inputs, train
from pipeline import engine
from pipeline.dataset import Dataset
from pipeline.errors import UserError
from pipeline.shards import digest


def pretrained(
    params: Any, data: Dataset, out: str | Path, live: str | Path | None = None, **other: Any
) -> checkpoint.Model:
    """The model of the stage pretrain, as `params` say, but for `other` (of Experiment.pretrained)."""
    tried, sections = Experiment.pretrained(params, **other), params.pretraining
    return trained(tried, sections.train, sections.augment, params, data, out, "pretrain", live)


def trained(
    tried: Experiment,
    settings: Any,
    change: Any,
    params: Any,
    data: Dataset,
    out: str | Path,
    stage: str,
    live: str | Path | None = None,
) -> checkpoint.Model:
    """The model in `out`, trained unless it is there already. stage: whose code it depends on.

    live: where the curves go, if anywhere.
    """
    given = inputs(params)
    values = [asdict(tried), settings.model_dump(), change.model_dump(), given]
    if live is None and settings.devices > 1:
        raise UserError("devices: a table trains several models in one process, each on one device")
    made_of = data.digest, tried.begun(data)
    fingerprint = digest(values, engine.code_of(stage, script=False), *made_of)
    if checkpoint.made_from(out) != fingerprint:
        with tempfile.TemporaryDirectory() as folder:
            train(tried, settings, change, given, data, out, live or folder, fingerprint)
    return checkpoint.load(out)
