"""Do this sound and this picture belong together?"""

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

CLIPS = {"pairing": "clip"}
PAIRING = {"clip": "from clips alone, without labels", "category": "from labels"}


@dataclass(frozen=True, kw_only=True)
class MatchingExperiment(Experiment):
    """constants: the loss's."""

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

    Embeddings have length 1. The loss says whether it trains the matcher. Where it does not (it trains the
    embeddings alone), the matcher is fitted beside it, by cross-entropy on embeddings that are cut off from
    the encoders: every loss goes with every matcher, and a score is always the matcher's.

    `modality` audio or video leaves one encoder, and both sides of a pair are of that modality (siamese).

    config: modality, audio_encoder, video_encoder, matcher, loss; `encoders` ({"audio": {}, "video": {}},
    sizes other than their own) and `constants` (the loss's).
    """

    experiment_type = MatchingExperiment
    rules = (
        Rule({}, {"encoder": None}, "use task: pretraining or classification"),
        Rule(CLIPS, {"modality": "both"}, "what matches a clip is the clip itself: use pairing: category"),
        Rule(CLIPS, {"train.balanced": False}, "clips have no labels there: use pairing: category"),
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
        fits = getattr(self.matcher, "has_map", False) and self.loss.name == "bce" and self.modality == "both"
        if self.has_map and not fits:
            raise UserError(
                f"video_encoder: {config['video_encoder']} has a vector for each place of the picture: use it"
                " with matcher: localize, loss: bce and modality: both"
            )
        self.embedding_names = ("audio", "video") if self.modality == "both" else (self.modality,)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Which clips are used, and how they are paired. Raises UserError where there are too few clips."""
        kinds, siamese = data.kinds(experiment.label), experiment.modality != "both"
        related = pairing.relation(experiment.pairing, data.group, kinds, siamese)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, **how: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, related, batch_size, seed, **how)

        names = sorted({name for names in kinds for name in names})
        return Plan(check_enough_clips(data, related), sampler, config_entries={"labels": names})

    def embed_audio(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, dim), each of length 1."""
        return F.normalize(self.audio(x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8 to (batch, dim), each of length 1.

        Of an encoder with a vector for each place: (batch, places * dim), as they are.
        """
        video = self.video(x).float()
        return video if self.has_map else F.normalize(video, dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of sound and picture to the embeddings of both sides; siamese: one modality's twice."""
        if self.modality == "both":
            return self.embed_audio(audio), self.embed_video(video)
        one = self.embed_audio(audio) if self.modality == "audio" else self.embed_video(video)
        return one, one

    def compute_losses(self, audio: Tensor, video: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss, and what fits the matcher beside it (0 where the loss does that)."""
        some = batch["right"] >= 0
        keep = some & (batch["wrong"] >= 0)
        a_right, a_wrong, v = audio[batch["right"][keep]], audio[batch["wrong"][keep]], video[keep]
        if not len(v):  # all clips of this batch belong together, or none: there is nothing to tell apart
            return (audio.sum() + video.sum()) * 0, audio.new_zeros(())
        a, vv = torch.cat([a_right, a_wrong]), torch.cat([v, v])  # (2P, dim), the first half matching
        target = torch.cat([a.new_ones(len(v)), a.new_zeros(len(v))])
        logits = self.matcher(*((a, vv) if self.loss.trains_matcher else (a.detach(), vv.detach())))
        if self.loss.pairs == "pairs":
            loss = self.loss(a, vv, target, logits)
        elif self.loss.pairs == "triplets":
            loss = self.loss(v, a_right, a_wrong)
        elif self.loss.pairs == "quadruples":
            v_first = torch.cat([video[batch["right"][keep]], video[batch["wrong"][keep]]])
            second = torch.cat([audio[keep], audio[keep]]), vv
            loss = self.loss((a, v_first), second, target, logits)
        else:
            right = batch["right"][some]
            loss = self.loss(audio[right], video[some], batch["same"][right][:, some])
        if self.loss.trains_matcher:
            return loss, loss.new_zeros(())
        return loss, F.binary_cross_entropy_with_logits(logits.float(), target)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        loss, fit = self.compute_losses(*self.embed_pair(batch["audio"], batch["video"]), batch)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch["clip"]))
        return {"loss": loss + fit, "logged_loss": loss.detach()}

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        loss, _ = self.compute_losses(audio, video, batch)
        self._val_outputs.append((batch["clip"], audio, video, loss.expand(len(audio))))

    def on_validation_epoch_end(self) -> None:
        clip, audio, video, loss = (torch.cat(x) for x in zip(*self._val_outputs, strict=True))
        self._val_outputs.clear()
        self.val_metrics = {"val/loss": loss.mean().item()} | self.pair_metrics(clip, audio, video)

    def rank(self) -> list[float]:
        """Ties in AUC go to the loss."""
        return [self.val_metrics["val/auc"], -self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        common, loss = super().describe(config), config["loss"]
        outputs = common.outputs
        if config["matcher"] == "localize":
            excepted = ", those of pictures excepted: they are one vector for each place."
            outputs = outputs.replace(".", excepted, 1)
        return replace(
            common,
            summary=f"{describe_encoders(config)}, trained with the loss {loss}, {PAIRING[config['pairing']]}",
            facts=common.facts | {name.capitalize(): config[name] for name in ("loss", "matcher", "pairing")},
            settings=common.settings
            | {
                "loss": {loss: config["constants"]},
                "matcher, pairing": f"{config['matcher']}, {config['pairing']}",
            },
            outputs=outputs,
            title=(*common.title, loss),
        )
