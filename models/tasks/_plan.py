"""The plan of a training: its clips, batches and targets, which the task chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.tasks._verification import Trials
from pipeline.dataset.pairing import Sampler

PURPOSES = {"train": "train", "val": "choose (val)", "test": "test"}  # what the clips of a split are for


@dataclass(frozen=True)
class Plan:
    """The clips, batches and targets of a training.

    clips: name of the split -> the clips to use, (n,) indices in the data set. make_sampler: a function
    (clips, batch_size, seed, class_balanced=False, rank=0, world_size=1) that makes a sampler of batches;
    pipeline.dataset.pairing.Sampler explains these arguments. targets: (clips of the data set, classes), 1
    for each class of a clip; None if the task learns from pairs. config_entries: entries of config.json in
    addition to the experiment's. trials: pairs of validation clips for verification of people; None unless
    the training split lacks the people of the test split.
    """

    clips: dict[str, np.ndarray]
    make_sampler: Callable[..., Sampler]
    targets: np.ndarray | None = None
    config_entries: dict[str, Any] = field(default_factory=dict)
    trials: Trials | None = None


def describe_counts(split_clips: dict[str, np.ndarray]) -> str:
    """Return a phrase such as `48 to train, 16 to choose (val), 16 to test`.

    split_clips: name of the split (train, val, test) -> its clips.
    """
    return ", ".join(f"{len(clips)} to {PURPOSES[split]}" for split, clips in split_clips.items())
