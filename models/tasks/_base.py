"""What a task is: the one class that training, evaluation, search, export, card and report ask.

A task is a file in this folder with one registered subclass of `Task`. Nobody outside this folder decides
anything by a task's name. Each member below is either needed (abstract), or has a default that suits a model
of embeddings.
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
from models.tasks._schedule import adamw
from pipeline.dataset.dataset import Dataset


class Rule(NamedTuple):
    """Where keys of params.yaml have the values `given`, the keys `needed` must have theirs.

    advice: what to do otherwise. Keys as `train.balanced`.
    """

    given: dict[str, Any]
    needed: dict[str, Any]
    advice: str


@dataclass(frozen=True)
class Part:
    """What one ONNX file computes.

    ask: a method of `module`, tensors to a tensor. inputs: name -> shape without batch, and type.
    """

    module: nn.Module
    ask: Callable[..., Tensor]
    inputs: dict[str, tuple[tuple[int, ...], torch.dtype]]
    output: str


class Task(lightning.LightningModule, ABC):
    """A network, and all that is special about what it learns.

    config: as in config.json: the fields of the task's Experiment, and `about` of its Plan. audio_shape:
    (channels, freq, time) of a window. video_shape: (frames, height, width, 3). train: the section of the
    parameters with which it is trained.
    """

    # --- before training -------------------------------------------------------------------------------

    # What the task reads of params.yaml.
    experiment_type: type[Experiment] = Experiment
    # What other keys must be beside this task, and what it takes where they are null. Checked by every stage,
    # before any work and without importing the task: `python -m pipeline.config.schema` writes them down.
    rules: tuple[Rule, ...] = ()
    defaults: dict[str, Any] = {}
    # The stage that trains it: `train` by the sections `train` and `augment`, or `pretrain` by `pretraining`.
    # What the stage pretrain has trained, the stage train takes over.
    stage = "train"

    @classmethod
    def pretrains(cls, params: Any) -> bool:
        """Whether the stage pretrain has a model to train. Asked only if params.yaml names an `encoder`."""
        return cls.stage == "pretrain"

    @staticmethod
    @abstractmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips of each split, how they make batches, and what is learnt of each.

        Raises UserError if the data are too few, or do not fit.
        """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__()
        self.config, self.train_params = config, train
        self.shapes = {"audio": tuple(audio_shape), "video": tuple(video_shape)}
        self.modality: str = config.get("modality", "both")
        self.steps = 1  # optimizer steps of the whole training, for the schedule
        self.val_metrics: dict[
            str, float
        ] = {}  # metrics of the last validation, `val/<name>`; empty without one

    # --- training (beside these, whatever Lightning calls) ---------------------------------------------

    @abstractmethod
    def training_step(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return `loss`, to be minimised, and `own`, the part of it that curves show; `parts`, if any, are
        further curves: name -> value.

        batch: `audio` (B, channels, freq, time), `video` (B, frames, height, width, 3) uint8, `clip` (B,);
        and `target` (B, classes) if the plan has targets, otherwise `right`, `wrong` and `same` of
        pipeline.dataset.pairing.Batch.
        """

    @abstractmethod
    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect what `on_validation_epoch_end` makes `val_metrics` of."""

    @abstractmethod
    def rank(self) -> list[float]:
        """How good the last validation was, by `val_metrics`: the epoch with the largest list is kept."""

    def configure_optimizers(self) -> dict[str, Any]:
        return adamw(self, self.train_params, self.steps)

    def prepare_validation(self, plan: Plan, val: np.ndarray) -> None:
        """Prepare validation on these clips. Called once, and not if there are none."""

    def calibrate(self, model: Any, data: Dataset, val: np.ndarray) -> None:
        """After training, choose by validation clips what they still decide, such as a threshold.

        model: this module as a models.checkpoint.Model.
        """

    # --- what the model gives --------------------------------------------------------------------------

    embedding_names: tuple[str, ...] = ("audio", "video")  # of what it makes vectors; `both`: one of sound and picture
    cross_modal = False  # whether sounds and pictures lie in one space, so that one can be searched with the other
    by_distance = False  # whether ranking by score is ranking by distance
    has_map = False  # whether pictures have a vector for each place
    classes: tuple[str, ...] = ()  # names of the outputs of `forward`, logits, if it tells classes
    multilabel = False  # whether a clip may be of several classes

    @abstractmethod
    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Windows to embeddings of sound and picture, (B, dim) each, of length 1; twice the same if there is
        but one of `embedding_names`."""

    def embed_audio(self, x: Tensor) -> Tensor:
        """(B, channels, freq, time) to (B, dim), of length 1. Needed if `embedding_names` has `audio`."""
        raise NotImplementedError

    def embed_video(self, x: Tensor) -> Tensor:
        """(B, frames, height, width, 3) uint8 to (B, dim), of length 1. Needed if `embedding_names` has `video`."""
        raise NotImplementedError

    # --- evaluation and report -------------------------------------------------------------------------

    # Which of models/evaluation judge it: keys of models.evaluation.evaluation.EVALUATIONS.
    evaluations: tuple[str, ...] = ()

    def extra_metrics(
        self, model: Any, data: Dataset, test: np.ndarray, bootstrap: int, seed: int
    ) -> dict[str, dict[str, Any]]:
        """Sections of metrics/evaluate.json that no other task has.

        A section: metrics by name, `n` clips, and by the same names the intervals `ci` and the values of
        guessing `chance`. model: this module as a models.checkpoint.Model. bootstrap: resamples.
        """
        return {}

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe a model with this config.json to people. Needs no module: a card has none."""
        return Description.from_encoders(config)

    # --- export ----------------------------------------------------------------------------------------

    def onnx_parts(self) -> dict[str, Part]:
        """The ONNX files by name: one for each of `embedding_names`, from windows to an embedding."""
        ask: dict[str, Callable[..., Tensor]] = {
            "audio": self.embed_audio,
            "video": self.embed_video,
            "both": lambda audio, video: self.embed_pair(audio, video)[0],
        }
        return {side: Part(self, ask[side], self.windows(side), "embedding") for side in self.embedding_names}

    def windows(self, side: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and type of the windows of "audio", "video" or "both", as inputs of a Part."""
        types = {"audio": torch.float32, "video": torch.uint8}
        return {k: (self.shapes[k], types[k]) for k in types if side in (k, "both")}
