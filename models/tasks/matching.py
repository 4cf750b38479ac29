"""The task matching: predict whether a sound and a picture belong together."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.audio import encoders as audio_encoders
from models.losses import losses
from models.matchers import matchers
from models.tasks import tasks
from models.tasks._base import Rule
from models.tasks._description import Description, describe_encoders
from models.tasks._experiment import Experiment
from models.tasks._pairs import Pairs, check_enough_clips
from models.tasks._plan import Plan
from models.video import encoders as video_encoders
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

CLIP_PAIRING = {"pairing": "clip"}
PAIRING = {"clip": "from clips alone, without labels", "category": "from labels"}


@dataclass(frozen=True, kw_only=True)
class MatchingExperiment(Experiment):
    """constants: keywords of the loss."""

    audio_encoder: str = ""
    video_encoder: str = ""
    loss: str = ""
    matcher: str = ""
    pairing: str = "clip"
    constants: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        loss = changes.get("loss") or params.loss
        return super().from_params(params, **{"constants": params.losses[loss]} | changes)


@tasks.register
class Matching(Pairs):
    """Two encoders, a matcher and a loss.

    Embeddings have length 1. A loss without `trains_matcher` trains the embeddings alone; the matcher is then
    trained beside it, by cross-entropy on detached embeddings. So every loss works with every matcher, and
    the score is always the matcher's.

    With `modality` audio or video there is one encoder, and both sides of a pair have that modality
    (siamese).

    config: modality, audio_encoder, video_encoder, matcher, loss; `encoders` ({"audio": {}, "video": {}},
    sizes that differ from their defaults) and `constants` (keywords of the loss).
    """

    experiment_type = MatchingExperiment
    rules = (
        Rule({}, {"encoder": None}, "use task: pretraining or classification"),
        Rule(
            CLIP_PAIRING,
            {"modality": "both"},
            "in one modality a clip matches only itself: use pairing: category",
        ),
        Rule(CLIP_PAIRING, {"train.balanced": False}, "pairing: clip uses no labels: use pairing: category"),
    )

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        dim, sizes = train.embedding_dim, config["encoders"]
        if self.modality != "video":
            self.audio = audio_encoders.make(config["audio_encoder"], audio_shape, dim, **sizes["audio"])
        if self.modality != "audio":
            self.video = video_encoders.make(config["video_encoder"], video_shape, dim, **sizes["video"])
        self.matcher = matchers.make(config["matcher"], dim)
        self.loss = losses.make(config["loss"], **config["constants"])
        self.has_map = self.modality != "audio" and getattr(self.video, "has_map", False)
        is_localizing = (
            getattr(self.matcher, "has_map", False) and self.loss.name == "bce" and self.modality == "both"
        )
        if self.has_map and not is_localizing:
            raise UserError(
                f"video_encoder: {config['video_encoder']} gives a map of vectors: use it with"
                " matcher: localize, loss: bce and modality: both"
            )
        self.embedding_names = ("audio", "video") if self.modality == "both" else (self.modality,)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips, and which of them match. Raises UserError if there are too few clips."""
        labels, siamese = data.class_names(experiment.label), experiment.modality != "both"
        relation = pairing.build_relation(experiment.pairing, data.group, labels, siamese)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, relation, batch_size, seed, **options)

        names = sorted({name for clip_labels in labels for name in clip_labels})
        return Plan(check_enough_clips(data, relation), sampler, config_entries={"labels": names})

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, dim) of length 1."""
        return F.normalize(self.audio(x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """Map (batch, frames, height, width, 3) uint8 to (batch, dim) of length 1.

        An encoder that gives a map returns (batch, positions * dim), not normalized.
        """
        video = self.video(x).float()
        return video if self.has_map else F.normalize(video, dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embed both sides of pairs: sound and picture or, if siamese, one modality twice."""
        if self.modality == "both":
            return self.embed_audio(audio), self.embed_video(video)
        one = self.embed_audio(audio) if self.modality == "audio" else self.embed_video(video)
        return one, one

    def compute_losses(self, audio: Tensor, video: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the loss, and the cross-entropy of the matcher (0 if the loss trains it).

        audio, video: (B, dim). batch: as of Task.training_step.
        """
        has_match = batch["positive"] >= 0
        has_both = has_match & (batch["negative"] >= 0)
        positive, negative = batch["positive"][has_both], batch["negative"][has_both]
        anchors, matches, non_matches = video[has_both], audio[positive], audio[negative]  # (P, dim) each
        if not len(anchors):  # all clips of the batch match each other, or none does: nothing to learn
            return (audio.sum() + video.sum()) * 0, audio.new_zeros(())
        # (2P, dim), the first half matches
        a, v = torch.cat([matches, non_matches]), torch.cat([anchors, anchors])
        target = torch.cat([a.new_ones(len(anchors)), a.new_zeros(len(anchors))])
        logits = self.matcher(*((a, v) if self.loss.trains_matcher else (a.detach(), v.detach())))
        if self.loss.pairs == "pairs":
            loss = self.loss(a, v, target, logits)
        elif self.loss.pairs == "triplets":
            loss = self.loss(anchors, matches, non_matches)
        elif self.loss.pairs == "quadruples":
            first = a, torch.cat([video[positive], video[negative]])
            second = torch.cat([audio[has_both], audio[has_both]]), v
            loss = self.loss(first, second, target, logits)
        else:
            rows = batch["positive"][has_match]
            loss = self.loss(audio[rows], video[has_match], batch["related"][rows][:, has_match])
        if self.loss.trains_matcher:
            return loss, loss.new_zeros(())
        return loss, F.binary_cross_entropy_with_logits(logits.float(), target)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        loss, matcher_loss = self.compute_losses(*self.embed_pair(batch["audio"], batch["video"]), batch)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch["clip"]))
        return {"loss": loss + matcher_loss, "logged_loss": loss.detach()}

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        loss, _ = self.compute_losses(audio, video, batch)
        self._val_outputs.append((batch["clip"], audio, video, loss.expand(len(audio))))

    def on_validation_epoch_end(self) -> None:
        clip, audio, video, loss = (torch.cat(x) for x in zip(*self._val_outputs, strict=True))
        self._val_outputs.clear()
        self.val_metrics = {"val/loss": loss.mean().item()} | self.pair_metrics(clip, audio, video)

    def rank(self) -> list[float]:
        """Return the AUC, then the loss for ties."""
        return [self.val_metrics["val/auc"], -self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        common, loss = super().describe(config), config["loss"]
        outputs = common.outputs
        if config["matcher"] == "localize":
            exception = ", except those of pictures: they have one vector for each position of a map."
            outputs = outputs.replace(".", exception, 1)
        return replace(
            common,
            summary=f"{describe_encoders(config)}, trained with the loss {loss},"
            f" {PAIRING[config['pairing']]}",
            facts=common.facts | {name.capitalize(): config[name] for name in ("loss", "matcher", "pairing")},
            settings=common.settings
            | {
                "loss": {loss: config["constants"]},
                "matcher, pairing": f"{config['matcher']}, {config['pairing']}",
            },
            outputs=outputs,
            title=(*common.title, loss),
        )
