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
from models.tasks._experiment import Experiment, make_encoder
from models.tasks._pairs import Pairs, select_clips
from models.tasks._plan import Plan
from models.video import encoders as video_encoders
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

CLIP_PAIRING = {"pairing": "clip"}  # the condition of rules
# What the model learns from, by `pairing` of params.yaml; part of the report's summary.
PAIRING_PHRASES = {"clip": "from clips alone, without labels", "category": "from labels"}


@dataclass(frozen=True, kw_only=True)
class MatchingExperiment(Experiment):
    """The values of params.yaml that the task matching reads.

    audio_encoder, video_encoder, loss, matcher: names of components; the encoder of an unused modality is
    empty. pairing: which clips match: `clip`, a sound and the picture of the same clip, or `category`, clips
    with a label in common. constants: the constants of the loss, keywords of its `__init__`.
    """

    audio_encoder: str = ""
    video_encoder: str = ""
    loss: str = ""
    matcher: str = ""
    pairing: str = "clip"
    constants: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Create the experiment that params.yaml describes.

        params: the content of params.yaml. changes: values of fields to use instead of those in `params`.
        """
        loss = changes.get("loss") or params.loss
        return super().from_params(params, **{"constants": params.losses[loss]} | changes)


@tasks.register
class Matching(Pairs):
    """Two encoders, a matcher that scores pairs of their embeddings, and a loss.

    Embeddings have length 1. Some losses do not train the matcher (their `trains_matcher` is false): they
    train the encoders alone. The matcher is then trained with a second loss, binary cross-entropy, whose
    gradient does not reach the encoders. So every loss works with every matcher, and the score of a pair is
    always the matcher's.

    With `modality` audio or video there is only one encoder, and both sides of a pair have that modality
    (siamese).

    config: the content of config.json. Read here: `modality`; `audio_encoder`, `video_encoder`, `matcher` and
    `loss`, names; `encoders`, {"audio": {...}, "video": {...}}, sizes that differ from an encoder's defaults;
    and `constants`, keywords of the loss.
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
        dim = train.embedding_dim
        if self.modality != "video":
            self.audio = make_encoder("audio", audio_encoders, config, audio_shape, dim)
        if self.modality != "audio":
            self.video = make_encoder("video", video_encoders, config, video_shape, dim)
        self.matcher = matchers.make(config["matcher"], dim)
        self.loss = losses.make(config["loss"], **config["constants"])
        if self.loss.trains_matcher and hasattr(self.matcher, "center"):
            self.matcher.center()
        self.has_map = self.modality != "audio" and getattr(self.video, "has_map", False)
        matcher_reads_maps = getattr(self.matcher, "has_map", False)
        can_localize = matcher_reads_maps and self.loss.name == "bce" and self.modality == "both"
        if self.has_map and not can_localize:
            raise UserError(
                f"video_encoder: {config['video_encoder']} gives a map of vectors: use it with"
                " matcher: localize, loss: bce and modality: both"
            )
        self.embedding_names = ("audio", "video") if self.modality == "both" else (self.modality,)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose the clips of each split, how to make batches of them, and which clips match.

        Raises UserError if there are too few clips.
        """
        labels = data.class_names(experiment.label)  # of each clip
        is_siamese = experiment.modality != "both"
        relation = pairing.build_relation(experiment.pairing, data.group, labels, is_siamese)

        def make_sampler(clips: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, relation, batch_size, seed, **options)

        all_labels = sorted({label for clip_labels in labels for label in clip_labels})
        return Plan(select_clips(data, relation), make_sampler, config_entries={"labels": all_labels})

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map sounds (batch, channels, freq, time) to embeddings (batch, dim) of length 1."""
        return F.normalize(self.audio(x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """Map pictures (batch, frames, height, width, 3) uint8 to embeddings (batch, dim) of length 1.

        If the encoder gives a vector for each position of a map, the result is (batch, positions * dim), and
        the vectors are not normalized.
        """
        embeddings = self.video(x).float()
        return embeddings if self.has_map else F.normalize(embeddings, dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embed both sides of pairs: windows of sound and picture become two tensors (batch, dim).

        If siamese (the model has one modality), both are the embeddings of that modality.
        """
        if self.modality == "both":
            return self.embed_audio(audio), self.embed_video(video)
        embeddings = self.embed_audio(audio) if self.modality == "audio" else self.embed_video(video)
        return embeddings, embeddings

    def compute_losses(self, audio: Tensor, video: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the loss, and a separate loss of the matcher, which is 0 if the first loss trains it.

        audio, video: (B, dim), embeddings of the clips of a batch. batch: `positive` and `negative`, (B,)
        indices in the batch of a sound that matches picture i and of one that does not, -1 if there is none;
        `related` (B, B) bool, which clips are not each other's negatives.
        """
        has_positive = batch["positive"] >= 0
        has_both = has_positive & (batch["negative"] >= 0)
        positive, negative = batch["positive"][has_both], batch["negative"][has_both]
        # P pictures, each with a sound that matches it and a sound that does not: (P, dim) each.
        anchors, matches, non_matches = video[has_both], audio[positive], audio[negative]
        if not len(anchors):  # all clips of the batch match each other, or none does: nothing to learn
            return (audio.sum() + video.sum()) * 0, audio.new_zeros(())
        # 2P pairs of a sound and a picture, (2P, dim) each: those in the first half match.
        pair_audio, pair_video = torch.cat([matches, non_matches]), torch.cat([anchors, anchors])
        target = torch.cat([pair_audio.new_ones(len(anchors)), pair_audio.new_zeros(len(anchors))])
        if self.loss.trains_matcher:
            logits = self.matcher(pair_audio, pair_video)
        else:
            logits = self.matcher(pair_audio.detach(), pair_video.detach())
        # The arguments of each kind of loss are described in models/losses/__init__.py.
        if self.loss.pairs == "pairs":
            loss = self.loss(pair_audio, pair_video, target, logits)
        elif self.loss.pairs == "triplets":
            loss = self.loss(anchors, matches, non_matches)
        elif self.loss.pairs == "quadruples":
            # Both clips whole: each sound of the pairs gets its own picture, and each picture its own sound.
            first_clip = pair_audio, torch.cat([video[positive], video[negative]])
            second_clip = torch.cat([audio[has_both], audio[has_both]]), pair_video
            loss = self.loss(first_clip, second_clip, target, logits)
        else:  # "batch": row i of one matches row i of the other
            audio_indices = batch["positive"][has_positive]
            related = batch["related"][audio_indices][:, has_positive]
            loss = self.loss(audio[audio_indices], video[has_positive], related)
        if self.loss.trains_matcher:
            return loss, loss.new_zeros(())
        return loss, F.binary_cross_entropy_with_logits(logits.float(), target)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        """Compute the sum of both losses, to minimize; the curves show only the first one."""
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        loss, matcher_loss = self.compute_losses(audio, video, batch)
        return {"loss": loss + matcher_loss, "logged_loss": loss.detach()}

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect the clips, their embeddings, and the loss of the batch, once for each clip."""
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        loss, _ = self.compute_losses(audio, video, batch)
        self._val_outputs.append((batch["clip"], audio, video, loss.expand(len(audio))))

    def finish_validation(self) -> None:
        """Set `val_metrics`: the mean loss over clips, and AUC and accuracy of the validation pairs."""
        clips, audio, video, loss = (torch.cat(tensors) for tensors in zip(*self._val_outputs, strict=True))
        self._val_outputs.clear()
        self.val_metrics = {"val/loss": loss.mean().item()} | self.pair_metrics(clips, audio, video)

    def rank(self) -> list[float]:
        """Return how good this epoch is, larger is better: the AUC, then the negative loss for ties."""
        return [self.val_metrics["val/auc"], -self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe the model whose config.json is `config`: its encoders, loss, matcher and pairing."""
        common, loss = super().describe(config), config["loss"]
        outputs = common.outputs
        if config["matcher"] == "localize":
            # The first sentence says that embeddings have length 1: add an exception to it.
            exception = ", except those of pictures: they have one vector for each position of a map."
            outputs = outputs.replace(".", exception, 1)
        return replace(
            common,
            summary=f"{describe_encoders(config)}, trained with the loss {loss},"
            f" {PAIRING_PHRASES[config['pairing']]}",
            facts=common.facts | {name.capitalize(): config[name] for name in ("loss", "matcher", "pairing")},
            settings=common.settings
            | {
                "loss": {loss: config["constants"]},
                "matcher, pairing": f"{config['matcher']}, {config['pairing']}",
            },
            outputs=outputs,
            title=(*common.title, loss),
        )
