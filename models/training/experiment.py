"""The experiment that the parameters describe, and what else its model depends on."""

from typing import Any

from models.tasks import tasks
from models.tasks._experiment import Experiment
from models.weights import weights_digest
from pipeline.dataset.dataset import Dataset

PRETRAINING = "pretraining"  # the task of the stage pretrain


def configure(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage train, with `changes` (task, loss, seed, ...)."""
    task = changes.get("task") or params.task
    return tasks.get(task).experiment_type.from_params(params, **changes | {"task": task})


def configure_pretraining(params: Any, **changes: Any) -> Experiment:
    """Return the experiment of the stage pretrain, with `changes` (keys of `pretraining`, seed)."""
    return configure(params, **changes | {"task": PRETRAINING})


def initial_state(experiment: Experiment, data: Dataset) -> list[Any]:
    """Return what else an encoder of both modalities depends on: initial weights and statistics."""
    weights = weights_digest(experiment.start) if experiment.start else None
    return [weights, data.statistics] if experiment.encoder else []


def inputs(params: Any) -> dict[str, Any]:
    """Return the parameters of the stages that turn files into a model's inputs."""
    sections = {name: getattr(params, name).model_dump() for name in ("audio", "video", "faces")}
    return sections | {"clip_seconds": params.data.clip_seconds}
