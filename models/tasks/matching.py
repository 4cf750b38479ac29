"""Do this sound and this picture belong together?"""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from models.audio import encoders as audio_encoders
from models.losses import losses
from models.matchers import matchers
from models.tasks import tasks
from models.tasks._plan import Plan, counted
from models.tasks._schedule import adamw
from models.video import encoders as video_encoders
from pipeline import pairing
from pipeline.dataset import Dataset
from pipeline.errors import UserError


@tasks.register
class Matching(lightning.LightningModule):
    """Two encoders, a matcher and a loss.

    Embeddings have length 1. The loss says whether it trains the matcher. Where it does not (it trains the
    embeddings alone), the matcher is fitted beside it, by cross-entropy on embeddings that are cut off from
    the encoders: every loss goes with every matcher, and a score is always the matcher's.

    `modality` audio or video leaves one encoder, and both sides of a pair are of that modality (siamese).

    config: modality, audio_encoder, video_encoder, matcher, loss; `encoders` ({"audio": {}, "video": {}},
    sizes other than their own) and `constants` (the loss's). audio_shape: (channels, freq, time) of a window;
    video_shape: (frames, height, width, 3). train: the section of the parameters.
    """

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__()
        self.train_params = train
        dim, sizes = train.embedding_dim, config["encoders"]
        self.modality = config["modality"]
        if self.modality != "video":
            self.audio = audio_encoders.make(config["audio_encoder"], audio_shape, dim, **sizes["audio"])
        if self.modality != "audio":
            self.video = video_encoders.make(config["video_encoder"], video_shape, dim, **sizes["video"])
        self.matcher = matchers.make(config["matcher"], dim)
        self.loss = losses.make(config["loss"], **config["constants"])
        self.places = self.modality != "audio" and getattr(self.video, "places", False)
        fits = getattr(self.matcher, "places", False) and self.loss.name == "bce" and self.modality == "both"
        if self.places and not fits:
            raise UserError(
                f"video_encoder: {config['video_encoder']} has a vector for each place of the picture: use it"
                " with matcher: localize, loss: bce and modality: both"
            )
        # What validation found: score = scale * logit + offset, see `calibrate`.
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.steps = 1  # of the whole training, for the schedule
        self.val_pairs: tuple[Tensor, Tensor, Tensor] | None = None  # sound, picture, target
        self.measured: dict[str, float] = {}  # of the last validation
        self._seen: list[tuple[Tensor, ...]] = []
        self.embeds = ("audio", "video") if self.modality == "both" else (self.modality,)
        self.by_distance = self.matcher.by_distance  # whether sounds and pictures lie near each other
        self.across = True  # whether a sound can be asked about pictures

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Which clips are used, and how they are paired. Raises UserError where there are too few clips."""
        kinds, siamese = data.kinds(experiment.label), experiment.modality != "both"
        related = pairing.relation(experiment.pairing, data.group, kinds, siamese)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, even: bool = False) -> pairing.Sampler:
            return pairing.Sampler(clips, related, batch_size, seed, even)

        names = sorted({name for names in kinds for name in names})
        return Plan(_enough(data, related), sampler, about={"labels": names})

    def watch(self, plan: Plan, val: np.ndarray) -> None:
        """Choose what validation measures: pairs of these clips."""
        self.val_pairs = tuple(map(torch.from_numpy, pairing.cross(val, plan.sampler(val, 2, 0).relation)))

    def embed_audio(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, dim), each of length 1."""
        return F.normalize(self.audio(x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8 to (batch, dim), each of length 1.

        Of an encoder with a vector for each place: (batch, places * dim), as they are.
        """
        video = self.video(x).float()
        return video if self.places else F.normalize(video, dim=1)

    def sides(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of sound and picture to the embeddings of both sides; siamese: one modality's twice."""
        if self.modality == "both":
            return self.embed_audio(audio), self.embed_video(video)
        one = self.embed_audio(audio) if self.modality == "audio" else self.embed_video(video)
        return one, one

    def score(self, audio: Tensor, video: Tensor) -> Tensor:
        """(batch, dim) twice to calibrated logits (batch,): above 0 is more likely a match than not."""
        return self.calibration[0] * self.matcher(audio, video).float() + self.calibration[1]

    def losses_of(self, audio: Tensor, video: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
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
        loss, fit = self.losses_of(*self.sides(batch["audio"], batch["video"]), batch)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch["clip"]))
        return {"loss": loss + fit, "own": loss.detach()}

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        audio, video = self.sides(batch["audio"], batch["video"])
        loss, _ = self.losses_of(audio, video, batch)
        self._seen.append((batch["clip"], audio, video, loss.expand(len(audio))))

    def on_validation_epoch_end(self) -> None:
        clip, audio, video, loss = (torch.cat(x) for x in zip(*self._seen, strict=True))
        self._seen.clear()
        order = clip.argsort()
        sound, picture, target = (x.to(self.device) for x in self.val_pairs)
        logits = self.matcher(audio[order][sound], video[order][picture]).float()
        match = target > 0
        hits = ((logits[match] > 0).float().mean() + (logits[~match] <= 0).float().mean()) / 2
        self.measured = {
            "val/loss": loss.mean().item(),
            "val/auc": binary_auroc(logits, target.long()).item(),
            "val/accuracy": hits.item(),  # as if half of the pairs matched
        }

    def configure_optimizers(self) -> dict:
        return adamw(self, self.train_params.learning_rate, self.train_params.weight_decay, self.steps)

    def rank(self) -> list[float]:
        """How good the last validation was; ties in AUC go to the loss."""
        return [self.measured["val/auc"], -self.measured["val/loss"]]

    def settle(self, model: Any, data: Dataset, val: np.ndarray) -> None:
        """After training: what the clips of validation still decide. model: this module, to be asked."""
        if len(val):
            self.calibrate(*map(torch.from_numpy, model.embed(data, val)), self.val_pairs)

    @torch.no_grad()
    def calibrate(self, audio: Tensor, video: Tensor, pairs: tuple[Tensor, Tensor, Tensor]) -> None:
        """Set `calibration` from validation: logistic regression of match on logit (Platt, 1999).

        Matches weigh as much as all others together. The encoders know the training clips too well for a
        threshold from there. Without a positive slope the logits stay as they are.
        """
        sound, picture, target = pairs
        logit = self.matcher(audio[sound], video[picture]).double()
        spread = logit.std().clamp(min=1e-6)
        x = torch.stack([logit / spread, torch.ones_like(logit)], 1)
        weight = torch.where(target > 0, 1 / target.sum(), 1 / (1 - target).sum()).double() * target.sum()
        w = torch.zeros(2, dtype=torch.double)
        prior = torch.tensor([1.0, 1e-3], dtype=torch.double)  # keeps the slope finite where all is right
        for _ in range(50):  # Newton; convex, and ten steps are plenty
            p = (x @ w).sigmoid()
            gradient = x.T @ (weight * (p - target)) + prior * w
            hessian = (x.T * (weight * p * (1 - p))) @ x + prior.diag()
            w = w - torch.linalg.solve(hessian, gradient)
        if w[0] > 0 and w.isfinite().all():
            self.calibration.copy_(torch.stack([w[0] / spread, w[1]]))


def _enough(data: Dataset, related: pairing.Relation) -> dict[str, np.ndarray]:
    """The clips of each split; UserError where there are too few to learn and to report from."""
    clips = {split: data.of(split) for split in ("train", "val", "test")}
    for split in ("train", "test"):
        if not _differ(clips[split], related):
            what = "labels, each in clips of another video," if related.by_label else "videos"
            what += " and 2 clips of one label" if related.siamese else ""
            raise UserError(
                f"too few clips: {counted(clips)}; at least 2 {what} are needed to train and 2 to test: "
                "add clips, or change split.val and split.test"
            )
    if not _differ(clips["val"], related):
        clips["val"] = clips["val"][:0]
    return clips


def _differ(clips: np.ndarray, related: pairing.Relation) -> bool:
    """Whether there is a pair that does not match; siamese: and one that does."""
    if related.siamese and not any(related.match(clip, clips).any() for clip in clips):
        return False
    return any(not related.same(clip, clips).all() for clip in clips)
