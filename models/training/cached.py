"""Models that are trained once: one that was made from just the same is not trained again."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import checkpoint
from models.components import component_modules
from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training import loop
from models.training.experiment import begun, configure_pretraining, inputs
from models.training.loop import train, write_curves
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest


def pretrained(
    params: Any, data: Dataset, out: str | Path, live: str | Path | None = None, **other: Any
) -> checkpoint.Model:
    """The model of the stage pretrain, as `params` say, but for `other` (of configure_pretraining)."""
    tried, sections = configure_pretraining(params, **other), params.pretraining
    return trained(tried, sections.train, sections.augment, params, data, out, live)


def trained(
    experiment: Experiment,
    settings: Any,
    change: Any,
    params: Any,
    data: Dataset,
    out: str | Path,
    live: str | Path | None = None,
) -> checkpoint.Model:
    """Load the model in `out`, after training it if it was not made from the same data, parameters and code.

    settings, change: sections of the parameters, as of `train`. live: the folder of the curves, if any; those
    of a model that is not trained again are written there too.
    """
    if live is None and settings.devices > 1:
        raise UserError("devices: a table trains several models in one process, each on one device")
    stage = tasks.get(experiment.task).stage
    given = inputs(params)
    values: list[dict] = [asdict(experiment), settings.model_dump(), change.model_dump(), given]
    code = code_digest(loop.__name__, *component_modules(values[0]))
    fingerprint = digest(values, code, data.digest, begun(experiment, data))
    if checkpoint.made_from(out) != fingerprint:
        with tempfile.TemporaryDirectory() as folder:
            train(experiment, settings, change, given, data, out, live or folder, fingerprint)
        return checkpoint.load(out)
    model = checkpoint.load(out)
    if live:
        print(f"{stage}: nothing to do: {out}/ was made from the same data, parameters and code", flush=True)
        write_curves(model.config, live, stage)
    return model
