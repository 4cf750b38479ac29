"""The base class of tasks that learn from pairs of sound and picture."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from models.tasks._base import Part, Task
from models.tasks._calibration import platt_scaling
from models.tasks._description import NOUNS, Description
from models.tasks._plan import Plan, describe_counts
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


class Pairs(Task):
    """A matcher on two embeddings, measured and calibrated with pairs of validation clips.

    A subclass sets `matcher`, defines `embed_pair`, and collects `_val_outputs` in `validation_step`.
    """

    cross_modal = True
    evaluations: tuple[str, ...] = ("pairs",)

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        # (scale, offset) of score = scale * logit + offset, which `calibrate` sets
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.val_pairs: tuple[Tensor, Tensor, Tensor] | None = None  # numbers of sounds and pictures, targets
        self._val_outputs: list[tuple[Any, ...]] = []

    @property
    def by_distance(self) -> bool:  # type: ignore[override]
        return self.matcher.by_distance

    def prepare_validation(self, plan: Plan, val: np.ndarray) -> None:
        """Choose the pairs of these clips that validation measures."""
        self.val_pairs = tuple(
            map(torch.from_numpy, pairing.validation_pairs(val, plan.sampler(val, 2, 0).relation))
        )

    def score(self, audio: Tensor, video: Tensor) -> Tensor:
        """Map (batch, dim) twice to calibrated logits (batch,): above 0 a match is more likely than not."""
        return self.calibration[0] * self.matcher(audio, video).float() + self.calibration[1]

    def pair_metrics(self, clip: Tensor, audio: Tensor, video: Tensor) -> dict[str, float]:
        """Compute AUC and accuracy of the validation pairs.

        clip: (n,) all validation clips in any order. audio, video: (n, dim) their embeddings.
        """
        order = clip.argsort()
        assert self.val_pairs is not None  # `prepare_validation` comes first
        sound, picture, target = (x.to(self.device) for x in self.val_pairs)
        logits = self.matcher(audio[order][sound], video[order][picture]).float()
        match = target > 0
        # Matches and non-matches weigh the same.
        accuracy = ((logits[match] > 0).float().mean() + (logits[~match] <= 0).float().mean()) / 2
        return {
            "val/auc": binary_auroc(logits, target.long()).item(),
            "val/accuracy": accuracy.item(),
        }

    @torch.no_grad()
    def calibrate(self, model: Any, data: Dataset, val: np.ndarray) -> None:
        """Set `calibration` from the validation pairs, after training. model: this module as a Model.

        Training pairs would not do: the encoders separate them better than new ones.
        """
        if not len(val):
            return
        assert self.val_pairs is not None  # `prepare_validation` comes first
        sound, picture, target = self.val_pairs
        audio, video = map(torch.from_numpy, model.embed(data, val))
        logits = self.matcher(audio[sound], video[picture]).double()
        if scaling := platt_scaling(logits.numpy(), target.numpy() > 0):
            self.calibration.copy_(torch.tensor(scaling))

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        modality = config.get("modality", "both")
        subject = "a sound and a picture" if modality == "both" else "two of them"
        score = 'print(model.score("bell.wav", "bell.jpg"), model.embed("clip.mp4"))'
        common = super().describe(config)
        return replace(
            common,
            purpose=f"Embeds {NOUNS[modality]} as vectors that are near each other if {subject} belong"
            " together, and scores how likely they do.",
            example=score if modality == "both" else common.example,
            limit="The threshold of the score was chosen on validation clips of the same data.",
            outputs="Embeddings have length 1. The matcher's score is a logit: above 0 a match is more likely"
            " than not.",
        )

    def onnx_parts(self) -> dict[str, Part]:
        """Return the embeddings, and `matcher`, which maps two of them to the score."""
        parts = super().onnx_parts()
        is_cross_modal = len(self.embedding_names) == 2
        names = (
            [f"{side}_embedding" for side in self.embedding_names] if is_cross_modal else ["first", "second"]
        )
        inputs = {}
        for name, side in zip(
            names, self.embedding_names if is_cross_modal else self.embedding_names * 2, strict=True
        ):
            [(shape, dtype)] = self.windows(side).values()
            size = tuple(parts[side].function(torch.zeros((2, *shape), dtype=dtype)).shape[1:])
            inputs[name] = size, torch.float32
        return parts | {"matcher": Part(self, self.score, inputs, "score")}


def check_enough_clips(data: Dataset, related: pairing.Relation) -> dict[str, np.ndarray]:
    """Return the clips of each split. Raises UserError if there are too few to train or to test.

    Validation clips without a pair that does not match are left out.
    """
    clips = {split: data.indices(split) for split in ("train", "val", "test")}
    for split in ("train", "test"):
        if not _has_pairs(clips[split], related):
            minimum = "labels, each in clips of another video," if related.by_label else "videos"
            minimum += " and 2 clips of one label" if related.siamese else ""
            raise UserError(
                f"too few clips: {describe_counts(clips)}; at least 2 {minimum} are needed to train and 2 to"
                " test: add clips, or change split.val and split.test"
            )
    if not _has_pairs(clips["val"], related):
        clips["val"] = clips["val"][:0]
    return clips


def _has_pairs(clips: np.ndarray, related: pairing.Relation) -> bool:
    """Return whether there is a pair that does not match and, if siamese, one that does."""
    if related.siamese and not any(related.match(clip, clips).any() for clip in clips):
        return False
    return any(not related.related(clip, clips).all() for clip in clips)
