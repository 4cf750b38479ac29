"""Train a model unless there is one from the same data, parameters and code."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import checkpoint
from models.components import component_modules
from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.training import loop
from models.training.curves import write_curves
from models.training.experiment import configure, configure_pretraining, initial_state
from models.training.experiment import inputs as model_inputs
from models.training.loop import train
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest

if TYPE_CHECKING:
    from pipeline.config.train import AugmentParams, LearningParams


def train_cached(
    params: Any, data: Dataset, out: str | Path, curves: str | Path | None = None, **changes: Any
) -> checkpoint.Model:
    """Load the model of the stage train from `out`, after training it unless it is up to date.

    changes: as in `configure`. curves: their folder, if any; also those of a loaded model are written there.
    """
    return _load_or_train(
        configure(params, **changes),
        data,
        out,
        settings=params.train,
        augmentation=params.augment,
        inputs=model_inputs(params),
        curves=curves,
    )


def pretrain_cached(
    params: Any, data: Dataset, out: str | Path, curves: str | Path | None = None, **changes: Any
) -> checkpoint.Model:
    """Load or train the model of the stage pretrain. changes: as in `configure_pretraining`."""
    sections = params.pretraining
    return _load_or_train(
        configure_pretraining(params, **changes),
        data,
        out,
        settings=sections.train,
        augmentation=sections.augment,
        inputs=model_inputs(params),
        curves=curves,
    )


def _load_or_train(
    experiment: Experiment,
    data: Dataset,
    out: str | Path,
    *,
    settings: "LearningParams",
    augmentation: "AugmentParams",
    inputs: dict[str, Any],
    curves: str | Path | None,
) -> checkpoint.Model:
    """Load the model in `out`, after training it unless it was made from the same data, parameters and code.

    settings, augmentation, inputs: as in `train`. curves: their folder, if any; also those of a loaded model
    are written there.
    """
    if curves is None and settings.devices > 1:
        raise UserError("devices: a table trains several models in one process, each on one device")
    values: list[dict] = [asdict(experiment), settings.model_dump(), augmentation.model_dump(), inputs]
    code = code_digest(loop.__name__, *component_modules(values[0]))
    fingerprint = digest(values, code, data.digest, initial_state(experiment, data))
    if checkpoint.saved_fingerprint(out) != fingerprint:
        with tempfile.TemporaryDirectory() as folder:
            train(
                experiment,
                data,
                settings=settings,
                augmentation=augmentation,
                inputs=inputs,
                out=out,
                curves=curves or folder,
                fingerprint=fingerprint,
            )
        return checkpoint.load(out)
    model = checkpoint.load(out)
    if curves:
        stage = tasks.get(experiment.task).stage
        print(f"{stage}: nothing to do: {out}/ was made from the same data, parameters and code", flush=True)
        write_curves(model.config, curves, stage)
    return model


def adopt_pretrained(
    source: str | Path, out: str | Path, curves: str | Path, **config_changes: Any
) -> dict[str, Any]:
    """Copy the model of the stage pretrain, with `config_changes` and its curves, to the stage train.

    Returns its summary, as `train` does.
    """
    model = checkpoint.load(source)
    config = model.config | config_changes
    checkpoint.save(out, model.module, config)
    write_curves(config, curves, "train")
    return config["chosen"]
