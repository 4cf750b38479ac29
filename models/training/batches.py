"""Batches of windows for Lightning's trainer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.dataset import augment, pairing
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.dataset.features import FeatureUse

# Added to a batch's seed for the positions of frames, so that they are independent of the augmentation.
FRAME_STREAM = 1


@dataclass(frozen=True)
class Batches(torch.utils.data.Dataset):
    """A data set for PyTorch's DataLoader whose items are whole batches, so that it need not collate clips.

    data: the windows of all clips. augmentation: random changes of the windows; None for validation. targets:
    (n, classes), of every clip in `data`; None if the task learns from pairs. random_frames: take frames from
    a random position in the window instead of its middle. features: which sides are read as stored features
    of towers; these are not augmented.
    """

    data: Dataset
    augmentation: augment.Augment | None
    targets: np.ndarray | None = None
    random_frames: bool = False
    features: FeatureUse = FeatureUse()

    def __getitem__(self, batch: pairing.Batch) -> dict[str, Tensor]:
        """Read the windows of a batch, whose clips and pairs a sampler chose.

        Returns `audio` (B, channels, freq, time), `video` (B, frames, height, width, 3) uint8, `clip` (B,),
        and either `target` (B, classes) or the pairs `positive`, `negative` and `related` of `batch`.
        """
        frame_position: float | np.ndarray = MIDDLE
        if self.random_frames:
            rng = np.random.default_rng((*batch.seed, FRAME_STREAM))
            frame_position = rng.random(len(batch.clip))
        audio, video = self.data.read(batch.clip, batch.position, frame_position, self.features)
        if self.augmentation:
            audio, video = self.augmentation(audio, video, batch.seed)
        arrays = {"audio": audio, "video": video, "clip": batch.clip}
        if self.targets is None:
            arrays |= {"positive": batch.positive, "negative": batch.negative, "related": batch.related}
        else:
            arrays["target"] = self.targets[batch.clip].astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class ValidationSampler:
    """A sampler that yields the same batches in every epoch, with the middle window of each clip.

    They are those of the first epoch of another sampler, apart from the windows.
    """

    def __init__(self, sampler: pairing.Sampler) -> None:
        self.batches = [replace(batch, position=np.full(len(batch.clip), MIDDLE)) for batch in sampler]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[pairing.Batch]:
        return iter(self.batches)


def make_loader(batches: Batches, sampler: Any, workers: int) -> DataLoader:
    """Make a loader that reads the batches which the sampler chooses.

    workers: number of additional processes that read; 0: this process reads.
    """
    return DataLoader(
        batches,
        batch_size=None,  # items are whole batches
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        # Its own generator: PyTorch's default one is for the model, and the loader must not change its state.
        generator=torch.Generator(),
    )
