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
from models.training.experiment import (
    configure_experiment,
    configure_pretraining,
    list_encoder_sources,
    select_input_params,
)
from models.training.loop import train
from models.training.start import open_start
from models.weights import weights_digest
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest

if TYPE_CHECKING:
    from pipeline.config.train import AugmentParams, LearningParams


def train_cached(
    params: Any, data: Dataset, out: str | Path, curves: str | Path | None = None, **changes: Any
) -> checkpoint.Model:
    """Load the model of the stage train from the folder `out`, after training it unless it is up to date.

    params: the content of params.yaml. curves: the folder to write the curves of the training to, also if the
    model is only loaded; None: write none. changes: fields of the experiment, such as task, loss or seed,
    whose values replace those in `params`.
    """
    experiment = configure_experiment(params, **changes)
    return _load_or_train(experiment, data, out, curves, select_input_params(params), sections=params)


def pretrain_cached(
    params: Any, data: Dataset, out: str | Path, curves: str | Path | None = None, **changes: Any
) -> checkpoint.Model:
    """Load the model of the stage pretrain from the folder `out`, after training it unless it is up to date.

    params: the content of params.yaml. curves: the folder to write the curves of the training to, also if the
    model is only loaded; None: write none. changes: fields of the experiment whose values replace those in
    `params`, such as seed; `pretraining` may contain only some keys of that section.
    """
    experiment = configure_pretraining(params, **changes)
    inputs = select_input_params(params)
    return _load_or_train(experiment, data, out, curves, inputs, sections=params.pretraining)


def _load_or_train(
    experiment: Experiment,
    data: Dataset,
    out: str | Path,
    curves: str | Path | None,
    inputs: dict[str, Any],
    sections: Any,
) -> checkpoint.Model:
    """Load the model in `out`, after training it unless it was made from the same data, parameters and code.

    curves: the folder to write the curves to, also if the model is only loaded; None: write none. inputs: the
    parameters on which the model's inputs depend. sections: has the sections `train` and `augment`: all of
    params.yaml, or its section `pretraining`.
    """
    settings: LearningParams = sections.train
    augmentation: AugmentParams = sections.augment
    if curves is None and settings.devices > 1:
        raise UserError("devices: a table trains several models in one process, each on one device")
    fields = asdict(experiment)
    # Not where the model to start from is: only its weights count.
    parameters = [fields, settings.model_dump(exclude={"start"}), augmentation.model_dump(), inputs]
    code = code_digest(loop.__name__, *component_modules(fields))
    with open_start(experiment, settings, out) as start:
        sources = [weights_digest(start.folder) if start else None, *list_encoder_sources(experiment, data)]
        fingerprint = digest(parameters, code, data.digest, sources)
        if checkpoint.saved_fingerprint(out) != fingerprint:
            with tempfile.TemporaryDirectory() as temporary_folder:
                train(
                    experiment,
                    data,
                    settings=settings,
                    augmentation=augmentation,
                    inputs=inputs,
                    out=out,
                    curves=curves or temporary_folder,
                    fingerprint=fingerprint,
                    start=start,
                )
            return checkpoint.load(out)
    model = checkpoint.load(out)
    if curves:
        stage = tasks.get(experiment.task).stage
        print(f"{stage}: nothing to do: {out}/ was made from the same data, parameters and code", flush=True)
        write_curves(model.config, curves, stage)
    return model


def describe_best_epoch(summary: dict[str, Any]) -> str:
    """Return the best epoch of a training and its metrics in one line.

    summary: `epochs`, `best_epoch` (from 1), and the metrics of that epoch, named such as `val/auc`.
    """
    metrics = {name.replace("/", " "): value for name, value in summary.items() if "/" in name}
    values = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    return f"epoch {summary['best_epoch']} of {summary['epochs']} is kept: {values}"


def adopt_pretrained(
    source: str | Path, out: str | Path, curves: str | Path, **config_changes: Any
) -> dict[str, Any]:
    """Copy the model of the stage pretrain and its curves to the folders of the stage train.

    source, out: the folders of the model and of the copy. curves: the folder of the copy's curves.
    config_changes: entries of the copy's config.json that replace the model's.
    Returns a summary of the training: `epochs`, `best_epoch` (from 1), and the metrics of that epoch by name.
    """
    model = checkpoint.load(source)
    config = model.config | config_changes
    checkpoint.save(out, model.module, config)
    write_curves(config, curves, "train")
    return config["chosen"]
