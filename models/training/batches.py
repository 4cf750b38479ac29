"""Batches of windows for Lightning's trainer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.dataset import augment, pairing
from pipeline.dataset.dataset import MIDDLE, Dataset


@dataclass(frozen=True)
class Batches(torch.utils.data.Dataset):
    """A data set whose items are whole batches, which saves the copy that collation makes.

    targets: of every clip, (n, classes); None if the task learns from pairs. random_frames: take frames from
    a random position in the window instead of its middle.
    """

    data: Dataset
    augmentation: augment.Augment | None
    targets: np.ndarray | None = None
    random_frames: bool = False

    def __getitem__(self, batch: pairing.Batch) -> dict[str, Tensor]:
        frame_position: float | np.ndarray = MIDDLE
        if self.random_frames:
            frame_position = np.random.default_rng((*batch.seed, 1)).random(len(batch.clip))
        audio, video = self.data.read(batch.clip, batch.position, frame_position)
        if self.augmentation:
            audio, video = self.augmentation(audio, video, batch.seed)
        arrays = {"audio": audio, "video": video, "clip": batch.clip}
        if self.targets is None:
            arrays |= {"positive": batch.positive, "negative": batch.negative, "related": batch.related}
        else:
            arrays["target"] = self.targets[batch.clip].astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class ValidationSampler:
    """The first epoch of a sampler with the middle window of each clip: the same batches in every epoch."""

    def __init__(self, sampler: pairing.Sampler) -> None:
        self.batches = [
            pairing.Batch(b.clip, np.full(len(b.clip), MIDDLE), b.positive, b.negative, b.related, b.seed)
            for b in sampler
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[pairing.Batch]:
        return iter(self.batches)


def make_loader(batches: Batches, sampler: Any, workers: int) -> DataLoader:
    """Make a loader of the sampler's batches. workers: number of additional processes that read."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # so that the loader does not draw from the model's
    )
