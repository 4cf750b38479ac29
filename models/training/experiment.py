"""The experiment that the parameters describe, and what else its model depends on."""

from typing import Any

from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.weights import weights_digest
from pipeline.dataset.dataset import Dataset

PRETRAINING = "pretraining"  # the task of the stage pretrain


def configure_experiment(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage train that params.yaml describes.

    params: the content of params.yaml. changes: fields of the experiment, such as task, loss or seed, whose
    values replace those in `params`.
    """
    task = changes.get("task") or params.task
    return tasks.get(task).experiment_type.from_params(params, **changes | {"task": task})


def configure_pretraining(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage pretrain that params.yaml describes.

    params: the content of params.yaml. changes: fields of the experiment whose values replace those in
    `params`, such as seed; `pretraining` may contain only some keys of that section.
    """
    return configure_experiment(params, **changes | {"task": PRETRAINING})


def list_encoder_sources(experiment: Experiment, data: Dataset) -> list[Any]:
    """Return what a model with an encoder of both modalities depends on beside parameters, data and code.

    That is the digest of the weights from which it starts (None: random weights), and the mean and standard
    deviation of the features. The list is empty for a model without such an encoder.
    """
    if not experiment.encoder:
        return []
    folder = experiment.initial_model_folder
    return [weights_digest(folder) if folder else None, data.statistics]


def select_input_params(params: Any) -> dict[str, Any]:
    """Return the parameters on which a model's inputs depend, as config.json has them under `inputs`.

    They are the sections audio, video and faces of params.yaml, and `clip_seconds`.
    """
    sections = {name: getattr(params, name).model_dump() for name in ("audio", "video", "faces")}
    return sections | {"clip_seconds": params.data.clip_seconds}
