"""The plan of a training: its clips, batches and targets, which the task chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.tasks._verification import Trials
from pipeline.dataset.pairing import Sampler

PURPOSE = {"train": "train", "val": "choose (val)", "test": "test"}


@dataclass(frozen=True)
class Plan:
    """The clips, batches and targets of a training.

    clips: split -> the clips to use, as numbers in the data set. sampler: makes a sampler from the arguments
    of pairing.Sampler other than the relation. targets: (n, classes) for every clip of the data set; None if
    the task learns from pairs. config_entries: entries of config.json that the experiment does not have.
    trials: pairs of validation clips for verification, if the training split lacks the people of the test
    split.
    """

    clips: dict[str, np.ndarray]
    sampler: Callable[..., Sampler]
    targets: np.ndarray | None = None
    config_entries: dict[str, Any] = field(default_factory=dict)
    trials: Trials | None = None


def describe_counts(clips: dict[str, np.ndarray]) -> str:
    """Return a phrase such as `48 to train, 16 to choose (val), 16 to test`."""
    return ", ".join(f"{len(c)} to {PURPOSE[s]}" for s, c in clips.items())
