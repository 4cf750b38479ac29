"""The base class of all tasks, which training, evaluation, search, export, model card and report use.

A task is a file in this folder with one registered subclass of `Task`. Code outside this folder never checks
a task's name. Each member below is either abstract, and must be defined, or has a default for a model that
gives embeddings.

In shapes, B is the number of clips in a batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.tasks._description import Description
from models.tasks._experiment import Experiment
from models.tasks._plan import Plan
from models.tasks._schedule import configure_adamw
from pipeline.dataset.dataset import Dataset


class Rule(NamedTuple):
    """A requirement on params.yaml: if the keys of `condition` have its values, the keys of `requirement`
    must have its values too.

    condition, requirement: key -> value; a nested key is written as `train.balanced`. advice: what the user
    should change; it ends the error message.
    """

    condition: dict[str, Any]
    requirement: dict[str, Any]
    advice: str


@dataclass(frozen=True)
class OnnxGraph:
    """The computation that one exported ONNX file contains.

    module: the network with the weights. function: a method of `module` that maps the input tensors to one
    output tensor. inputs: name of each input -> its shape without the batch dimension, and its type. output:
    name of the output.
    """

    module: nn.Module
    function: Callable[..., Tensor]
    inputs: dict[str, tuple[tuple[int, ...], torch.dtype]]
    output: str


class Task(nn.Module, ABC):
    """A network, and everything that depends on what it learns: clips, loss, metrics, description, export.

    config: the content of config.json: the fields of the task's Experiment, and `config_entries` of its Plan.
    audio_shape: (channels, freq, time) of a window. video_shape: (frames, height, width, 3). train: the
    section of params.yaml with the settings of the training, `train` or `pretraining.train`.
    """

    # --- before training -------------------------------------------------------------------------------

    # The keys of params.yaml that the task reads.
    experiment_type: type[Experiment] = Experiment
    # Requirements on other keys of params.yaml, and values for keys that are null. Every stage checks them
    # before any work and without importing the task: `python -m pipeline.config.schema` writes them to a
    # file.
    rules: tuple[Rule, ...] = ()
    defaults: dict[str, Any] = {}
    # The stage that trains it: `train` with the sections `train` and `augment`, or `pretrain` with
    # `pretraining`. The stage train then only copies the model of the stage pretrain.
    stage = "train"

    @classmethod
    def pretrains(cls, params: Any) -> bool:
        """Return whether the stage pretrain trains a model for this task.

        params: the content of params.yaml, in which the key `encoder` (of both modalities) is set.
        """
        return cls.stage == "pretrain"

    @staticmethod
    @abstractmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips of each split, how to make batches of them, and their targets.

        Raises UserError if there are too few clips, or if they do not suit the task.
        """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__()
        self.config = config
        self.train_params = train
        self.shapes = {"audio": tuple(audio_shape), "video": tuple(video_shape)}  # of one window
        self.modality: str = config.get("modality", "both")
        # Optimizer steps of the whole training, for the learning rate's schedule. The training sets it.
        self.steps = 1
        # Metrics of the last validation, `val/<name>`; empty without validation.
        self.val_metrics: dict[str, float] = {}

    # --- training --------------------------------------------------------------------------------------

    @abstractmethod
    def training_step(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | dict[str, Tensor]]:
        """Compute the loss of a batch.

        batch: `audio` (B, channels, freq, time), `video` (B, frames, height, width, 3) uint8, and `clip`
        (B,), the clips' indices in the data set. If the plan has targets, also `target` (B, classes), and
        otherwise the pairs of clips `positive` (B,), `negative` (B,) and `related` (B, B), as described in
        pipeline.dataset.pairing.Batch. number: the batch's number in the epoch.

        Returns `loss`, which training minimizes, `logged_loss`, the part of it that the curves show, and
        optionally `logged_metrics`, further curves: name -> value.
        """

    @abstractmethod
    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect what `finish_validation` needs."""

    @abstractmethod
    def finish_validation(self) -> None:
        """Set `val_metrics`, after the last batch of each validation."""

    @abstractmethod
    def rank(self) -> list[float]:
        """Return how good this epoch's `val_metrics` are: training keeps the epoch with the largest list.

        The first number decides; a further one decides only between epochs with equal numbers before it.
        """

    @property
    def encoder_paths(self) -> dict[str, str]:
        """Return where the encoders are: "audio", "video" or "joint" (of both) -> path in the network.

        Layer-wise learning rates, gradient checkpointing and a training that starts from another model use
        it. By default, encoders are in the attributes `audio`, `video` and `encoder`.
        """
        attributes = {"audio": "audio", "video": "video", "joint": "encoder"}
        return {part: name for part, name in attributes.items() if hasattr(self, name)}

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return next(self.parameters()).device

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer and the schedule of the learning rate."""
        return configure_adamw(self, self.train_params, self.steps)

    def prepare_validation(self, plan: Plan, val_clips: np.ndarray) -> None:
        """Prepare validation on `val_clips`, (n,) indices in the data set.

        Called once, before training, and only if there are validation clips.
        """

    def calibrate(self, model: Any, data: Dataset, val_clips: np.ndarray) -> None:
        """After training, set values that validation clips decide, such as the threshold of a score.

        model: a models.checkpoint.Model that wraps this task; its methods compute in batches. val_clips: (n,)
        indices in the data set, which may be empty.
        """

    # --- what the model computes -----------------------------------------------------------------------

    # The model's embeddings: `audio`, `video`, or `both`, one vector for sound and picture together.
    embedding_names: tuple[str, ...] = ("audio", "video")
    # Whether sounds and pictures share one space, so that each can be searched by the other.
    cross_modal = False
    by_distance = False  # whether the score is highest for the pair of embeddings with the least distance
    has_map = False  # whether a picture has one embedding for each position of a map, instead of a single one
    classes: tuple[str, ...] = ()  # of a classifier: names of the logits that `forward` returns
    multilabel = False  # whether a clip may have several classes

    @abstractmethod
    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embed windows of sound and picture, (B, channels, freq, time) and (B, frames, height, width, 3).

        Returns two tensors (B, dim) of vectors of length 1, of the sounds and of the pictures. If
        `embedding_names` has only one name, both are that embedding.
        """

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map sounds (B, channels, freq, time) to embeddings (B, dim) of length 1.

        A task must define it if `embedding_names` contains `audio`.
        """
        raise NotImplementedError

    def embed_video(self, x: Tensor) -> Tensor:
        """Map pictures (B, frames, height, width, 3) uint8 to embeddings (B, dim) of length 1.

        A task must define it if `embedding_names` contains `video`.
        """
        raise NotImplementedError

    # --- evaluation and report -------------------------------------------------------------------------

    # Names of the evaluations of this task: keys of models.evaluation.evaluation.EVALUATIONS.
    evaluations: tuple[str, ...] = ()

    def extra_metrics(
        self, model: Any, data: Dataset, test_clips: np.ndarray, bootstrap: int, seed: int
    ) -> dict[str, dict[str, Any]]:
        """Compute sections of metrics/evaluate.json that only this task has.

        model: a models.checkpoint.Model that wraps this task. test_clips: (n,) indices in the data set.
        bootstrap: number of resamples for each confidence interval.
        Returns section name -> metrics by name, the number of clips `n`, and two dictionaries with the same
        metric names: `ci`, confidence intervals, and `chance`, values of random guessing.
        """
        return {}

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe in words the model whose config.json is `config`. Its weights are not needed."""
        return Description.from_encoders(config)

    # --- export ----------------------------------------------------------------------------------------

    def onnx_graphs(self) -> dict[str, OnnxGraph]:
        """Return what to export, by file name without extension: one graph for each of `embedding_names`."""
        functions: dict[str, Callable[..., Tensor]] = {
            "audio": self.embed_audio,
            "video": self.embed_video,
            "both": lambda audio, video: self.embed_pair(audio, video)[0],
        }
        return {
            name: OnnxGraph(self, functions[name], self.window_inputs(name), "embedding")
            for name in self.embedding_names
        }

    def window_inputs(self, modality: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return the inputs of an OnnxGraph that reads windows: name -> shape without batch, and type.

        modality: `audio`, `video`, or `both` for the two of them.
        """
        types = {"audio": torch.float32, "video": torch.uint8}
        names = types if modality == "both" else [modality]
        return {name: (self.shapes[name], types[name]) for name in names}
