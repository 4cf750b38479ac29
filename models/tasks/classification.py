"""Which label does a clip have? By its sound, its picture, or both."""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multilabel_average_precision,
)

from models.audio import encoders as audio_encoders
from models.audio._input import standardised
from models.joint import encoders as joint_encoders
from models.tasks import tasks
from models.tasks._plan import Plan, counted
from models.tasks._schedule import adamw
from models.tasks._verification import Trials
from models.video import encoders as video_encoders
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

SPREAD = 3.0  # deviations from the mean that a spectrogram's picture shows, up and down


@tasks.register
class Classification(lightning.LightningModule):
    """One encoder or two, and layers on what they give.

    `classification.fusion`, with both modalities: `concat` joins two embeddings by two linear layers with
    ReLU and dropout (as identification by face and voice on VoxCeleb has it). `stack` makes the spectrogram a
    picture, puts it on the channels of the frames, and has one network, `video_encoder`, read all; with
    one modality, it reads pictures of sounds as it would read frames, and can be asked about either.
    With `encoder`, one network reads both modalities, or one (models/joint), and a layer norm and a linear
    layer follow.

    config: modality, encoder, audio_encoder, video_encoder, `encoders` (sizes other than their own),
    `classification` (the section of the parameters), `statistics` (of the features, for `encoder`), `classes`
    (names, in the order of the logits) and `weights` (one a class, or None). audio_shape: (channels, freq,
    time) of a window; video_shape: (frames, height, width, 3). train: the section of the parameters.
    """

    across = False  # sounds and pictures are not brought near each other
    by_distance = False
    places = False

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__()
        self.train_params, self.settings = train, config["classification"]
        self.modality, self.stacked = config["modality"], self.settings["fusion"] == "stack"
        self.many = self.settings["multilabel"]
        dim, sizes, count = train.embedding_dim, config["encoders"], len(config["classes"])
        both = self.modality == "both"
        self.embeds: tuple[str, ...] = ("audio", "video") if both else (self.modality,)
        self.encoder: nn.Module | None = None  # of both modalities
        if config.get("encoder"):
            shapes, own = (audio_shape, video_shape), sizes["joint"]
            self.encoder = joint_encoders.make(config["encoder"], *shapes, config.get("statistics"), **own)
            self.encoder.requires_grad_(not self.settings["frozen"])
            dim = self.encoder.dim
        elif self.stacked:
            self.picture = tuple(video_shape)  # what a sound is made to look like
            shape = (*video_shape[:3], 6 if both else 3)
            self.video = video_encoders.make(config["video_encoder"], shape, dim, **sizes["video"])
            self.embeds = ("both",) if both else self.embeds
        else:
            if self.modality != "video":
                self.audio = audio_encoders.make(config["audio_encoder"], audio_shape, dim, **sizes["audio"])
            if self.modality != "audio":
                self.video = video_encoders.make(config["video_encoder"], video_shape, dim, **sizes["video"])
        if getattr(getattr(self, "video", None), "places", False):
            raise UserError(
                f"video_encoder: {config['video_encoder']} has a vector for each place of the picture: it"
                " goes with task: matching alone"
            )
        fuse: list[nn.Module] = [nn.Linear(2 * dim, dim)] if both and not self.stacked else []
        first = [nn.LayerNorm(dim)] if self.encoder is not None else [*fuse, nn.ReLU()]
        self.head = nn.Sequential(*first, nn.Dropout(self.settings["dropout"]), nn.Linear(dim, count))
        weights = config["weights"]
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)
        self.steps = 1  # of the whole training, for the schedule
        self.measured: dict[str, float] = {}  # of the last validation
        self._seen: list[tuple[Tensor, ...]] = []
        self.trials: Trials | None = None  # of validation, where it has people whom training does not know

    # --- what is learnt from ------------------------------------------------------------------------

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Classes are those of training; clips of no class, or where one is wanted of several, are left out.

        Where the label is the subject and training knows no person of the test split (split.by: subject),
        people are verified, and validation chooses by that too.
        Raises UserError where there are too few clips or classes, and where nothing could be tested.
        """
        settings, kinds = experiment.classification, data.kinds(experiment.label)
        fits = np.array([bool(names) if settings["multilabel"] else len(names) == 1 for names in kinds])
        if not fits.all():
            none, several = sum(not k for k in kinds), sum(len(k) > 1 for k in kinds)
            print(
                f"classification: {(~fits).sum()} of {len(fits)} clips are left out: {none} have no label,"
                f" {several} several (classification.multilabel: true takes those)"
            )
        clips = {split: data.of(split) for split in ("train", "val", "test")}
        clips = {split: rows[fits[rows]] for split, rows in clips.items()}
        if settings["labels"] < 1:
            clips["train"] = _drawn(clips["train"], kinds, settings["labels"], experiment.seed)
        classes = sorted({name for i in clips["train"] for name in kinds[i]})
        number = {name: i for i, name in enumerate(classes)}
        targets = np.zeros((len(data), len(classes)), np.uint8)
        for i, names in enumerate(kinds):
            targets[i, [number[name] for name in names if name in number]] = 1
        if len(classes) < 2 or len(clips["train"]) < 2:
            raise UserError(
                f"label: {experiment.label}: {counted(clips)}, {len(classes)} classes; at least 2 classes in"
                " training are needed: name the labels, or choose another label"
            )
        unknown = {split: ~targets[clips[split]].any(1) for split in ("val", "test")}
        trials = None
        if unknown["test"].all():
            trials = _validation_trials(experiment, data, clips)
            clips["test"] = clips["test"][:0]
            unknown = {} if trials else {"val": unknown["val"]}
        for split, mask in unknown.items():
            if mask.any():
                print(
                    f"classification: {mask.sum()} of {len(mask)} {split} clips are of classes that training"
                    " has no clip of, and are left out"
                )
                clips[split] = clips[split][~mask]
        related = pairing.Relation(data.group, [[n for n in names if n in number] for names in kinds])

        def sampler(rows: np.ndarray, batch_size: int, seed: int, **how: Any) -> pairing.Singles:
            return pairing.Singles(rows, related, batch_size, seed, **how)

        weights = _weights(targets[clips["train"]], settings["multilabel"])
        about = {"classes": classes, "weights": weights if settings["class_weights"] else None}
        return Plan(clips, sampler, targets, about, trials)

    def watch(self, plan: Plan, val: np.ndarray) -> None:
        """Validation takes all its clips."""
        self.trials = plan.trials

    def calibrate(self, model: Any, data: Dataset, val: np.ndarray) -> None:
        """Do nothing: validation decides no more than the epoch."""

    def rank(self) -> list[float]:
        """How good the last validation was; ties go to the loss."""
        if self.trials:
            return [-self.measured["val/eer"]]
        best = self.measured["val/map" if self.many else "val/accuracy"]
        return [best, -self.measured["val/loss"]]

    # --- from windows to logits ---------------------------------------------------------------------

    def embed(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """Windows (batch, channels, freq, time) and (batch, frames, height, width, 3) to what the encoders
        give, (batch, dim) each: audio, video, or both (stacked)."""
        if self.encoder is not None:
            inputs = {"audio": audio, "video": video}
            return {side: self.encoder.alone(side, inputs[side]) for side in self.embeds}
        if self.stacked:
            found = {
                "audio": lambda: self.pictures(audio),
                "video": lambda: video,
                "both": lambda: torch.cat([video, self.pictures(audio).to(video.dtype)], dim=-1),
            }
            return {side: self.video(found[side]()) for side in self.embeds}
        return {
            side: self.audio(audio) if side == "audio" else self.video(video)
            for side in ("audio", "video")
            if side in self.embeds
        }

    def pictures(self, audio: Tensor) -> Tensor:
        """Spectrograms as pictures, the low frequencies below: (batch, frames, height, width, 3) of 0 to 255.

        The channels' mean, standardised, in grey; the same one for each frame.
        """
        frames, height, width, _ = self.picture
        x = standardised(audio).mean(1, keepdim=True).flip(2)
        x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False, antialias=True)
        x = ((x / SPREAD + 1) * 127.5).clamp(0, 255).round()
        return x.permute(0, 2, 3, 1)[:, None].expand(-1, frames, -1, -1, 3)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Windows to logits (batch, classes)."""
        if self.modality == "both" and self.encoder is not None:
            return self.head(self.encoder(audio, video)).float()
        return self.head(torch.cat([*self.embed(audio, video).values()], dim=1)).float()

    def without(self, side: str, audio: Tensor, video: Tensor) -> Tensor:
        """Logits where one modality is missing, of a model of both: blank (zeros) for two encoders and for a
        stack; an encoder of both modalities has an answer of its own."""
        if self.encoder is None:
            return self(*(x * (name != side) for name, x in (("audio", audio), ("video", video))))
        other, x = ("video", video) if side == "audio" else ("audio", audio)
        return self.head(self.encoder.without_other(other, x)).float()

    def swapped(self, audio: Tensor, video: Tensor) -> Tensor:
        """Logits for the modality that a stacked network of one was not trained on."""
        other = video if self.modality == "audio" else self.pictures(audio)
        return self.head(self.video(other)).float()

    def embed_audio(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, dim), each of length 1."""
        if self.encoder is not None:
            return F.normalize(self.encoder.alone("audio", x).float(), dim=1)
        return F.normalize((self.video(self.pictures(x)) if self.stacked else self.audio(x)).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8 to (batch, dim), each of length 1."""
        if self.encoder is not None:
            return F.normalize(self.encoder.alone("video", x).float(), dim=1)
        return F.normalize(self.video(x).float(), dim=1)

    def sides(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of length 1 of sound and picture; twice the same one where there is but one."""
        found = [F.normalize(x.float(), dim=1) for x in self.embed(audio, video).values()]
        return found[0], found[-1]

    # --- training -----------------------------------------------------------------------------------

    def loss_of(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, or with many labels binary cross-entropy, mean over clips (and classes).

        label_smoothing s: of one label as PyTorch has it; of many, those that a clip has count 1 - s, and all
        others s / classes, as CAV-MAE has it.
        """
        smooth = self.settings["label_smoothing"]
        if self.many:
            target = target * (1 - smooth) + (1 - target) * smooth / target.shape[1]
            return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)
        return F.cross_entropy(logits, target, weight=self.weights, label_smoothing=smooth)

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        audio, video, target = batch["audio"], batch["video"], batch["target"]
        if self.settings["mixup"]:
            audio, video, target = self.mixed(audio, video, target)
        loss = self.loss_of(self(audio, video), target)
        self.log("loss", loss, prog_bar=True, batch_size=len(target))
        return {"loss": loss, "own": loss.detach()}

    def mixed(self, audio: Tensor, video: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each clip with another of the batch, sound, picture and label by one share (arXiv 1710.09412)."""
        alpha = torch.tensor(float(self.settings["mixup"]))
        share = torch.distributions.Beta(alpha, alpha).sample((len(target),)).to(target.device)
        if self.settings["mixup_rate"] < 1:
            alone = torch.rand(len(target), device=target.device) >= self.settings["mixup_rate"]
            share = share.masked_fill(alone, 1.0)
        other = torch.randperm(len(target), device=target.device)

        def mix(x: Tensor) -> Tensor:
            part = share.view(-1, *[1] * (x.ndim - 1))
            mixed = part * x.float() + (1 - part) * x[other].float()
            return mixed if x.is_floating_point() else mixed.round().to(x.dtype)

        return mix(audio), mix(video), mix(target)

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        if self.trials:
            sides = self.embed(batch["audio"], batch["video"]).values()
            self._seen.append((batch["clip"], *(F.normalize(x.float(), dim=1) for x in sides)))
            return
        logits = self(batch["audio"], batch["video"])
        self._seen.append((logits, batch["target"]))

    def on_validation_epoch_end(self) -> None:
        logits, target, *_ = seen = [torch.cat(x) for x in zip(*self._seen, strict=True)]
        self._seen.clear()
        if self.trials:
            clips, *sides = (x.cpu().numpy() for x in seen)
            embeddings = dict(zip(self.embeds, sides, strict=True))
            self.measured = {"val/eer": self.trials.eer(clips, embeddings)}
            return
        self.measured = {"val/loss": self.loss_of(logits, target).item()}
        count = target.shape[1]
        if self.many:
            # Classes without a clip in validation have no precision.
            seen = target.sum(0) > 0
            scores = multilabel_average_precision(logits, target.long(), count, average=None)
            self.measured["val/map"] = scores[seen].mean().item()
        else:
            right = target.argmax(1)
            accuracy = multiclass_accuracy(logits, right, count, average="micro")
            f1 = multiclass_f1_score(logits, right, count, average="macro")
            self.measured |= {"val/accuracy": accuracy.item(), "val/f1_macro": f1.item()}

    def configure_optimizers(self) -> dict:
        return adamw(self, self.train_params, self.steps)


def _validation_trials(experiment: Any, data: Dataset, clips: dict[str, np.ndarray]) -> Trials | None:
    """Make the trials of validation where training has no clip of any person of the test split.

    Returns None where validation has too few people or recordings for trials. Raises UserError where the test
    split has too few, and where the label is not the subject: nothing could be tested.
    """
    count = len(clips["test"])
    if experiment.label != "subject":
        raise UserError(
            f"label: {experiment.label}: none of {count} test clips is of a class that training has a clip"
            " of, and nothing could be tested: see split.by and split.seed, or choose another label"
        )
    if not Trials.of(data, clips["test"], experiment.seed):
        people = {data.subject[i] for i in clips["test"]}
        raise UserError(
            f"label: subject: {count} test clips of {len(people)} people whom training does not know: to"
            " verify them, at least 2 people are needed, one of them in 2 recordings: another split.seed"
            " draws others, a larger split.test more"
        )
    print("classification: training has no clip of a person of the test split: people are verified")
    return Trials.of(data, clips["val"], experiment.seed)


def _drawn(clips: np.ndarray, kinds: list[list[str]], share: float, seed: int) -> np.ndarray:
    """A share of the clips, by chance, in their order; each class has at least one among them."""
    order = np.random.default_rng(seed).permutation(clips)
    first: dict[str, int] = {}
    for clip in order:
        for name in kinds[clip]:
            first.setdefault(name, int(clip))
    needed = list(dict.fromkeys(first.values()))
    rest = order[~np.isin(order, needed)]
    count = max(round(share * len(clips)), len(needed))
    return np.sort(np.concatenate([needed, rest[: count - len(needed)]]).astype(int))


def _weights(targets: np.ndarray, many: bool) -> list[float]:
    """What each class counts: n / (classes * its clips), as scikit-learn's `balanced`; with many labels how
    much more a clip of it does than one that is not, (n - its clips) / its clips."""
    n, count = len(targets), targets.sum(0, dtype=int).clip(min=1)
    return [float(w) for w in ((n - count) / count if many else n / (len(count) * count))]
