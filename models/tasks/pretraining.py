"""Without labels: fill in what is masked, and find the sound that belongs to a picture (CAV-MAE)."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.joint import _masks as masks
from models.joint import encoders
from models.joint._decoder import Decoder
from models.joint.cav_mae import SIDES, select_patches
from models.losses.infonce import Infonce
from models.matchers.distance import Distance
from models.tasks import tasks
from models.tasks._base import Rule
from models.tasks._description import Description
from models.tasks._experiment import Experiment
from models.tasks._pairs import Pairs, check_enough_clips
from models.tasks._plan import Plan
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

SMALL = 1e-6  # added to a patch's variance


def normalize_each(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, n, values), each patch with mean 0 and deviation 1; its mean, and its deviation."""
    var, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return (patches - mean) * (var + SMALL).rsqrt(), mean, (var + SMALL).sqrt()


@dataclass(frozen=True, kw_only=True)
class PretrainingExperiment(Experiment):
    """pretraining: the section of the parameters, without what says how it is trained."""

    pretraining: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """As of Experiment; `pretraining` may change some keys of its section. Nothing of the parameters'
        `modality` and `label` is read: it learns from both modalities, and from no label."""
        encoder = changes.get("encoder") or params.encoder
        section = params.pretraining.model_dump(exclude={"train", "augment"}) | changes.get("pretraining", {})
        sizes = {"joint": params.encoders.joint.get(encoder, {})}
        fixed = {"task": "pretraining", "encoder": encoder, "pretraining": section}
        others = {key: getattr(params, key) for key in ("input", "seed") if key not in changes}
        return cls(**{"encoders": sizes} | others | changes | fixed)


@tasks.register
class Pretraining(Pairs):
    """An encoder of both modalities sees a part of the patches; a decoder fills in the others.

    loss = reconstruction * (E_sound + E_picture) + contrastive * InfoNCE(mean tokens of each alone),
    E the mean squared error on masked patches, each with mean 0 and deviation 1 by itself where
    `normalize_patches`. Source: CAV-MAE (arXiv 2210.07839, section 3). Clips of one group (video) are not
    each other's negatives.

    config: encoder, `encoders` ({"joint": {}}: sizes), `pretraining` (the section of the parameters) and
    `statistics` of the features.
    """

    experiment_type = PretrainingExperiment
    rules = (Rule({}, {"modality": "both"}, "use modality: both"),)
    defaults = {"encoder": "cav_mae"}
    stage = "pretrain"

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        self.settings = config["pretraining"]
        shapes, sizes = (audio_shape, video_shape), config["encoders"]["joint"]
        self.encoder = encoders.make(config["encoder"], *shapes, config.get("statistics"), **sizes)
        for side, (rows, columns) in self.encoder.grid.items():
            if rows * columns < 2:
                raise UserError(
                    f"encoder {config['encoder']}: {side} is one patch of {self.encoder.patch}, and nothing"
                    " would be left to fill in: set encoders.joint.cav_mae.patch"
                )
        self.decoder = Decoder(self.encoder)
        self.matcher = Distance(self.encoder.dim)
        temperature, both_ways = self.settings["temperature"], self.settings["both_ways"]
        self.infonce = Infonce(temperature=temperature, learned=False, both_ways=both_ways)
        self.has_reconstruction = self.settings["reconstruction"] > 0
        self.evaluations = ("pairs", "reconstruction") if self.has_reconstruction else ("pairs",)
        self.encoder.positions.requires_grad_(False)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """All clips of a split; no label is looked at. Raises UserError where there are too few clips."""
        related = pairing.relation("clip", data.group, data.labels)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, **how: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, related, batch_size, seed, **how)

        return Plan(check_enough_clips(data, related), sampler)

    # --- embeddings ---------------------------------------------------------------------------------

    def embed_audio(self, x: Tensor) -> Tensor:
        """(batch, channels, freq, time) to (batch, dim), the mean token of the sound alone, of length 1."""
        return F.normalize(self.encoder.embed_alone("audio", x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8 to (batch, dim), as of sounds."""
        return F.normalize(self.encoder.embed_alone("video", x).float(), dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed_audio(audio), self.embed_video(video)

    # --- masks --------------------------------------------------------------------------------------

    def draw_masks(self, batch: int, generator: torch.Generator | None = None) -> tuple[dict, dict]:
        """Numbers of kept and of masked patches of each side, (batch, n). Pictures are masked at random."""
        ratio, found = self.settings["mask_ratio"], {}
        for side in SIDES:
            mode = self.settings["mask"] if side == "audio" else "random"
            noise = masks.mask_noise(batch, self.encoder.grid[side], ratio, mode, generator)
            found[side] = [x.to(self.device) for x in masks.split_patches(noise, ratio)]
        return {s: found[s][0] for s in SIDES}, {s: found[s][1] for s in SIDES}

    def reconstruct(self, audio: Tensor, video: Tensor, keep: dict, masked: dict) -> dict[str, Tensor]:
        """Predictions for the masked patches of each side, (batch, n, values), as the loss compares them."""
        inputs = {"audio": audio, "video": video}
        tokens = {side: self.encoder.encode_tokens(side, inputs[side], keep[side]) for side in SIDES}
        return self.decode(tokens, keep, masked)

    def decode(self, tokens: dict[str, Tensor], keep: dict, masked: dict) -> dict[str, Tensor]:
        """What `filled` gives, from what the towers made of the kept patches."""
        both = torch.cat([tokens[side] for side in SIDES], dim=1)
        return self.decoder(self.encoder.fuse(both, "both"), keep, masked)

    def targets(self, side: str, x: Tensor, masked: Tensor) -> Tensor:
        """What is there, (batch, n, values), each patch normalised where the model is trained so."""
        patches = self.encoder.normalize(side, select_patches(self.encoder.split_patches(side, x), masked))
        return normalize_each(patches)[0] if self.settings["normalize_patches"] else patches

    # --- training -----------------------------------------------------------------------------------

    def loss_terms(
        self, audio: Tensor, video: Tensor, same: Tensor, keep: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The loss and what it is made of: loss, audio_mse, video_mse, contrastive, contrastive_accuracy.

        same: (batch, batch) bool, which clips are not each other's negatives.
        """
        inputs = {"audio": audio, "video": video}
        tokens = {side: self.encoder.encode_tokens(side, inputs[side], keep[side]) for side in SIDES}
        told: dict[str, Tensor] = {}
        loss = audio.new_zeros((), dtype=torch.float32)
        if self.has_reconstruction:
            found = self.decode(tokens, keep, masked)
            for side in SIDES:
                target = self.targets(side, inputs[side], masked[side])
                told[f"{side}_mse"] = F.mse_loss(found[side].float(), target)
            loss = loss + self.settings["reconstruction"] * (told["audio_mse"] + told["video_mse"])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings["contrastive"] > 0):
            means = [self.encoder.fuse(tokens[side], side).mean(1).float() for side in SIDES]
            told["contrastive"] = self.infonce(*means, same)
            told["contrastive_accuracy"] = self._contrastive_accuracy(*means, same)
        if self.settings["contrastive"]:
            loss = loss + self.settings["contrastive"] * told["contrastive"]
        return {"loss": loss} | told

    @torch.no_grad()
    def _contrastive_accuracy(self, audio: Tensor, video: Tensor, same: Tensor) -> Tensor:
        """The share of pictures whose own sound is the nearest of the batch's."""
        cosine = F.normalize(audio, dim=1) @ F.normalize(video, dim=1).T
        own = torch.arange(len(cosine), device=cosine.device)
        nearest = cosine.masked_fill(same & (own[:, None] != own), -2).argmax(0)
        return (nearest == own).float().mean()

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        told = self.loss_terms(batch["audio"], batch["video"], batch["same"], *self.draw_masks(len(batch["clip"])))
        self.log("loss", told["loss"], prog_bar=True, batch_size=len(batch["clip"]))
        own = {name: value.detach() for name, value in told.items() if name != "loss"}
        return {"loss": told["loss"], "logged_loss": told["loss"].detach(), "logged_metrics": metrics}

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """The loss with masks that are the same each time, and embeddings of the whole."""
        generator = torch.Generator().manual_seed(number)
        count = len(batch["clip"])
        told = self.loss_terms(batch["audio"], batch["video"], batch["same"], *self.draw_masks(count, generator))
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        values = {name: value.float().expand(count) for name, value in told.items()}
        self._val_outputs.append((batch["clip"], audio, video, values))

    def on_validation_epoch_end(self) -> None:
        clip, audio, video = (torch.cat([seen[i] for seen in self._val_outputs]) for i in range(3))
        parts = {f"val/{name}": torch.cat([s[3][name] for s in self._val_outputs]) for name in self._val_outputs[0][3]}
        self._val_outputs.clear()
        self.val_metrics = {name: value.mean().item() for name, value in parts.items()}
        self.val_metrics["val/auc"] = self.pair_metrics(clip, audio, video)["val/auc"]  # no threshold is learnt

    def rank(self) -> list[float]:
        return [-self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        common, section = super().describe(config), config["pretraining"]
        return replace(
            common,
            summary=f"{config['encoder']} for sounds and pictures, trained without labels to fill in what is"
            " masked",
            facts=common.facts | {"Masked": section["mask_ratio"]},
            settings=common.settings | {"pretraining": section, "label": config.get("label", "")},
        )
