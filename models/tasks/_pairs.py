"""The base class of tasks that learn from pairs of sound and picture."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.tasks._base import OnnxGraph, Task
from models.tasks._calibration import fit_platt_scaling
from models.tasks._description import NOUNS, Description
from models.tasks._plan import Plan, describe_counts
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


class Pairs(Task):
    """A matcher scores pairs of a sound's and a picture's embedding: do they belong together?

    Validation measures the scores of pairs of validation clips, and they are calibrated with these pairs.
    A subclass sets `matcher` (a module of models/matchers), defines `embed_pair`, and appends a tuple for
    each batch to `_val_outputs` in `validation_step`.
    """

    cross_modal = True
    evaluations: tuple[str, ...] = ("pairs",)

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        # (scale, offset) of score = scale * logit + offset, which `calibrate` sets
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        # The pairs that validation measures: (audio_indices, video_indices, target), (pairs,) each. Indices
        # are into the validation clips in ascending order; target is 1 for a match, otherwise 0.
        self.val_pairs: tuple[Tensor, Tensor, Tensor] | None = None
        # What validation collects in an epoch, for each batch: a tuple that the subclass chooses.
        self._val_outputs: list[tuple[Any, ...]] = []

    @property
    def by_distance(self) -> bool:  # type: ignore[override]
        return self.matcher.by_distance

    def prepare_validation(self, plan: Plan, val_clips: np.ndarray) -> None:
        """Choose the pairs of validation clips that validation measures, the same ones in every epoch."""
        relation = plan.make_sampler(val_clips, batch_size=2, seed=0).relation  # which clips match
        self.val_pairs = tuple(map(torch.from_numpy, pairing.validation_pairs(val_clips, relation)))

    def score(self, audio: Tensor, video: Tensor) -> Tensor:
        """Score pairs of embeddings, (batch, dim) each.

        Returns calibrated logits (batch,): above 0 a match is more likely than not.
        """
        scale, offset = self.calibration[0], self.calibration[1]
        return scale * self.matcher(audio, video).float() + offset

    def pair_metrics(self, clips: Tensor, audio: Tensor, video: Tensor) -> dict[str, float]:
        """Compute AUC and accuracy of the validation pairs, under the keys `val/auc` and `val/accuracy`.

        clips: (n,) indices in the data set of all validation clips, in any order. audio, video: (n, dim)
        their embeddings.
        """
        from torchmetrics.functional.classification import binary_auroc  # slow: only training needs it

        assert self.val_pairs is not None  # `prepare_validation` was called before
        audio_indices, video_indices, target = (x.to(self.device) for x in self.val_pairs)
        order = clips.argsort()  # the indices of pairs are into the clips in ascending order
        logits = self.matcher(audio[order][audio_indices], video[order][video_indices]).float()
        is_match = target > 0
        # There are more pairs that do not match: the mean of both kinds' accuracies weighs them equally.
        match_accuracy = (logits[is_match] > 0).float().mean()
        mismatch_accuracy = (logits[~is_match] <= 0).float().mean()
        return {
            "val/auc": binary_auroc(logits, target.long()).item(),
            "val/accuracy": ((match_accuracy + mismatch_accuracy) / 2).item(),
        }

    @torch.no_grad()
    def calibrate(self, model: Any, data: Dataset, val_clips: np.ndarray) -> None:
        """After training, set `calibration` so that scores above 0 mean a likely match.

        The scale and offset come from the validation pairs. Training pairs are not suitable: the encoders
        separate them better than pairs of new clips. Without validation clips, nothing changes.

        model: a models.checkpoint.Model that wraps this task; its `embed` works in batches. val_clips: (n,)
        indices in the data set.
        """
        if not len(val_clips):
            return
        assert self.val_pairs is not None  # `prepare_validation` was called before
        audio_indices, video_indices, target = self.val_pairs
        # (n, dim) each
        audio, video = (torch.from_numpy(x).to(self.device) for x in model.embed(data, val_clips))
        logits = self.matcher(audio[audio_indices], video[video_indices]).double()
        scale_and_offset = fit_platt_scaling(logits.cpu().numpy(), target.numpy() > 0)
        if scale_and_offset is not None:
            self.calibration.copy_(torch.tensor(scale_and_offset))

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe the model whose config.json is `config`: what it embeds, and what its score means."""
        modality = config.get("modality", "both")
        pair = "a sound and a picture" if modality == "both" else "two of them"
        score_example = 'print(model.score("bell.wav", "bell.jpg"), model.embed("clip.mp4"))'
        common = super().describe(config)
        return replace(
            common,
            purpose=f"Embeds {NOUNS[modality]} as vectors that are near each other if {pair} belong"
            " together, and scores how likely they do.",
            example=score_example if modality == "both" else common.example,
            limit="The threshold of the score was chosen on validation clips of the same data.",
            outputs="Embeddings have length 1. The matcher's score is a logit: above 0 a match is more likely"
            " than not.",
        )

    def onnx_graphs(self) -> dict[str, OnnxGraph]:
        """Return the graphs of the embeddings, and `matcher`, which maps two embeddings to their score."""
        graphs = super().onnx_graphs()
        # Name of each input of the matcher -> the modality of that embedding.
        matcher_inputs = {f"{modality}_embedding": modality for modality in self.embedding_names}
        if len(self.embedding_names) == 1:  # siamese: both embeddings are of one modality
            [modality] = self.embedding_names
            matcher_inputs = {"first": modality, "second": modality}
        shapes = {}
        for name, modality in matcher_inputs.items():
            [(shape, dtype)] = self.window_inputs(modality).values()
            embeddings = graphs[modality].function(torch.zeros((2, *shape), dtype=dtype))  # to learn its size
            shapes[name] = tuple(embeddings.shape[1:]), torch.float32
        return graphs | {"matcher": OnnxGraph(self, self.score, shapes, "score")}


def select_clips(data: Dataset, relation: pairing.Relation) -> dict[str, np.ndarray]:
    """Return split (train, val, test) -> the clips to use, indices in the data set.

    The validation split is empty if no pair can be formed from its clips. Raises UserError if that is so in
    the training or the test split. relation: says which clips match.
    """
    clips = {split: data.indices(split) for split in ("train", "val", "test")}
    for split in ("train", "test"):
        if not _has_pairs(clips[split], relation):
            minimum = "labels, each in clips of another video," if relation.by_label else "videos"
            minimum += " and 2 clips of one label" if relation.siamese else ""
            raise UserError(
                f"too few clips: {describe_counts(clips)}; at least 2 {minimum} are needed to train and 2 to"
                " test: add clips, or change split.val and split.test"
            )
    if not _has_pairs(clips["val"], relation):
        clips["val"] = clips["val"][:0]
    return clips


def _has_pairs(clips: np.ndarray, relation: pairing.Relation) -> bool:
    """Return whether the clips can form the pairs that training and testing need.

    That is a pair that does not match and, if siamese (both sides of a pair are of one modality), also a pair
    that matches; otherwise each clip's own sound and picture match. clips: indices in the data set.
    """
    if relation.siamese and not any(relation.match(clip, clips).any() for clip in clips):
        return False
    return any(not relation.related(clip, clips).all() for clip in clips)
