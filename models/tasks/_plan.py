"""What a task makes of a data set before it is trained on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.tasks._verification import Trials
from pipeline.dataset.pairing import Sampler

PURPOSE = {"train": "train", "val": "choose (val)", "test": "test"}


@dataclass(frozen=True)
class Plan:
    """clips: of each split, those that are used. sampler: what pairing.Sampler takes but the relation, to
    a sampler.
    targets: of every clip of the data set, (n, classes); None where pairs are what is learnt. about: what
    config.json says beside the experiment. trials: of validation clips, whose people training does not know.
    """

    clips: dict[str, np.ndarray]
    sampler: Callable[..., Sampler]
    targets: np.ndarray | None = None
    about: dict[str, Any] = field(default_factory=dict)
    trials: Trials | None = None


def describe_counts(clips: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{len(c)} to {PURPOSE[s]}" for s, c in clips.items())
