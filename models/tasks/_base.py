"""The base class of all tasks, which training, evaluation, search, export, model card and report use.

A task is a file in this folder with one registered subclass of `Task`. Code outside this folder never checks
a task's name. Each member below is either abstract, and must be defined, or has a default for a model that
gives embeddings.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from models.tasks._description import Description
from models.tasks._experiment import Experiment
from models.tasks._plan import Plan
from models.tasks._schedule import configure_adamw
from pipeline.dataset.dataset import Dataset


class Rule(NamedTuple):
    """If the keys of `condition` have these values in params.yaml, those of `requirement` must have theirs.

    advice: the end of the error message, what to change. Keys are written as `train.balanced`.
    """

    condition: dict[str, Any]
    requirement: dict[str, Any]
    advice: str


@dataclass(frozen=True)
class Part:
    """The computation of one ONNX file.

    function: a method of `module` that maps tensors to a tensor. inputs: name -> shape without batch, and
    type. output: name of the result.
    """

    module: nn.Module
    function: Callable[..., Tensor]
    inputs: dict[str, tuple[tuple[int, ...], torch.dtype]]
    output: str


class Task(lightning.LightningModule, ABC):
    """A network, and everything that depends on what it learns.

    config: the content of config.json: the fields of the task's Experiment, and `config_entries` of its Plan.
    audio_shape: (channels, freq, time) of a window. video_shape: (frames, height, width, 3). train: the
    section of the parameters that training uses.
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
        """Return whether the stage pretrain trains a model. Called only if params.yaml names an `encoder`."""
        return cls.stage == "pretrain"

    @staticmethod
    @abstractmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips of each split, how to make batches of them, and their targets.

        Raises UserError if there are too few clips, or if they do not suit the task.
        """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__()
        self.config, self.train_params = config, train
        self.shapes = {"audio": tuple(audio_shape), "video": tuple(video_shape)}
        self.modality: str = config.get("modality", "both")
        self.steps = 1  # optimizer steps of the whole training, for the schedule
        # Metrics of the last validation, `val/<name>`; empty without validation.
        self.val_metrics: dict[str, float] = {}

    # --- training (Lightning's other hooks may be defined too) -----------------------------------------

    @abstractmethod
    def training_step(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the `loss` to minimize, `logged_loss`, the part of it that curves show, and optionally
        `logged_metrics`, further curves: name -> value.

        batch: `audio` (B, channels, freq, time), `video` (B, frames, height, width, 3) uint8, `clip` (B,);
        and `target` (B, classes) if the plan has targets, otherwise `positive`, `negative` and `related`
        (see pipeline.dataset.pairing.Batch).
        """

    @abstractmethod
    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect what `on_validation_epoch_end` needs to set `val_metrics`."""

    @abstractmethod
    def rank(self) -> list[float]:
        """Return a sort key from `val_metrics`: training keeps the epoch with the largest one."""

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer and the schedule of the learning rate."""
        return configure_adamw(self, self.train_params, self.steps)

    def prepare_validation(self, plan: Plan, val: np.ndarray) -> None:
        """Prepare validation on the clips `val`. Called once before training, if there are any."""

    def calibrate(self, model: Any, data: Dataset, val: np.ndarray) -> None:
        """Set what validation clips decide after training, such as the threshold of a score.

        model: this module as a models.checkpoint.Model.
        """

    # --- what the model computes -----------------------------------------------------------------------

    # Which embeddings there are: `audio`, `video`, or `both`, one vector for sound and picture together.
    embedding_names: tuple[str, ...] = ("audio", "video")
    cross_modal = (
        False  # whether sounds and pictures share one space, so that each can be searched by the other
    )
    by_distance = False  # whether ranking by score is ranking by distance
    has_map = False  # whether pictures have an embedding for each position of a map, and not one
    classes: tuple[str, ...] = ()  # of a classifier: names of the logits that `forward` returns
    multilabel = False  # whether a clip may have several classes

    @abstractmethod
    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embed windows of sound and picture: (B, dim) twice, of length 1; one twice if `embedding_names`
        has only one name."""

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map (B, channels, freq, time) to (B, dim) of length 1. Needed if `embedding_names` has `audio`."""
        raise NotImplementedError

    def embed_video(self, x: Tensor) -> Tensor:
        """Map (B, frames, height, width, 3) uint8 to (B, dim) of length 1. Needed if `embedding_names` has
        `video`."""
        raise NotImplementedError

    # --- evaluation and report -------------------------------------------------------------------------

    # Evaluations that apply: keys of models.evaluation.evaluation.EVALUATIONS.
    evaluations: tuple[str, ...] = ()

    def extra_metrics(
        self, model: Any, data: Dataset, test: np.ndarray, bootstrap: int, seed: int
    ) -> dict[str, dict[str, Any]]:
        """Compute sections of metrics/evaluate.json that only this task has.

        A section: metrics by name, `n` clips, and under the same names the intervals `ci` and the values of
        guessing `chance`. model: this module as a models.checkpoint.Model. bootstrap: resamples.
        """
        return {}

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe a model with this config.json for people. Needs no weights: a model card has none."""
        return Description.from_encoders(config)

    # --- export ----------------------------------------------------------------------------------------

    def onnx_parts(self) -> dict[str, Part]:
        """Return what to export, by file name: for each of `embedding_names` how to embed windows."""
        embed: dict[str, Callable[..., Tensor]] = {
            "audio": self.embed_audio,
            "video": self.embed_video,
            "both": lambda audio, video: self.embed_pair(audio, video)[0],
        }
        return {
            side: Part(self, embed[side], self.windows(side), "embedding") for side in self.embedding_names
        }

    def windows(self, side: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return shape and type of the windows of "audio", "video" or "both", as inputs of a Part."""
        types = {"audio": torch.float32, "video": torch.uint8}
        return {k: (self.shapes[k], types[k]) for k in types if side in (k, "both")}
