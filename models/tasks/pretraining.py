"""The task pretraining (CAV-MAE): reconstruct masked patches and match sound and picture, without labels."""

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

EPSILON = 1e-6  # added to a patch's variance


def normalize_each(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize each patch of (batch, n, values) to mean 0 and standard deviation 1.

    Returns the patches, their means and their standard deviations, (batch, n, 1) each.
    """
    var, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return (patches - mean) * (var + EPSILON).rsqrt(), mean, (var + EPSILON).sqrt()


@dataclass(frozen=True, kw_only=True)
class PretrainingExperiment(Experiment):
    """pretraining: the section of the parameters, without its sections `train` and `augment`."""

    pretraining: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Read the fields, other than `modality` and `label`: it learns from both modalities, without labels.

        In `changes`, `pretraining` may hold some keys of its section.
        """
        encoder = changes.get("encoder") or params.encoder
        section = params.pretraining.model_dump(exclude={"train", "augment"}) | changes.get("pretraining", {})
        sizes = {"joint": params.encoders.joint.get(encoder, {})}
        fixed = {"task": "pretraining", "encoder": encoder, "pretraining": section}
        common = {key: getattr(params, key) for key in ("input", "seed") if key not in changes}
        return cls(**{"encoders": sizes} | common | changes | fixed)


@tasks.register
class Pretraining(Pairs):
    """A masked autoencoder: an encoder of the visible patches of both modalities, a decoder of the others.

    loss = reconstruction * (E_audio + E_video) + contrastive * InfoNCE(mean tokens of each modality alone),
    E the mean squared error on masked patches, which `normalize_patches` normalizes one by one first.
    Source: CAV-MAE (arXiv 2210.07839, section 3). Clips of one group (video) are not each other's negatives.

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
                    f"encoder {config['encoder']}: {side} is a single patch of {self.encoder.patch}, but"
                    " masking needs 2: set encoders.joint.cav_mae.patch"
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
        """Choose all clips of each split. Raises UserError if there are too few clips."""
        relation = pairing.build_relation("clip", data.group, data.labels)

        def sampler(clips: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, relation, batch_size, seed, **options)

        return Plan(check_enough_clips(data, relation), sampler)

    # --- embeddings ---------------------------------------------------------------------------------

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map (batch, channels, freq, time) to (batch, dim) of length 1, the mean token of the sound."""
        return F.normalize(self.encoder.embed_alone("audio", x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """Map (batch, frames, height, width, 3) uint8 to (batch, dim) of length 1, likewise."""
        return F.normalize(self.encoder.embed_alone("video", x).float(), dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed_audio(audio), self.embed_video(video)

    # --- masks --------------------------------------------------------------------------------------

    def draw_masks(self, batch: int, generator: torch.Generator | None = None) -> tuple[dict, dict]:
        """Draw the numbers of visible and of masked patches of each side, (batch, n).

        The mode of masking is a setting for sounds, and `random` for pictures.
        """
        ratio, visible, masked = self.settings["mask_ratio"], {}, {}
        for side in SIDES:
            mode = self.settings["mask"] if side == "audio" else "random"
            noise = masks.draw_mask_noise(batch, self.encoder.grid[side], ratio, mode, generator)
            numbers = masks.split_by_noise(noise, ratio)
            visible[side], masked[side] = (x.to(self.device) for x in numbers)
        return visible, masked

    def reconstruct(self, audio: Tensor, video: Tensor, visible: dict, masked: dict) -> dict[str, Tensor]:
        """Predict the masked patches of each side, (batch, n, values), on the scale of `targets`."""
        inputs = {"audio": audio, "video": video}
        tokens = {side: self.encoder.encode_tokens(side, inputs[side], visible[side]) for side in SIDES}
        return self.decode(tokens, visible, masked)

    def decode(self, tokens: dict[str, Tensor], visible: dict, masked: dict) -> dict[str, Tensor]:
        """Predict the masked patches, as `reconstruct`, from the towers' tokens of the visible patches."""
        both = torch.cat([tokens[side] for side in SIDES], dim=1)
        return self.decoder(self.encoder.fuse(both, "both"), visible, masked)

    def targets(self, side: str, x: Tensor, masked: Tensor) -> Tensor:
        """Return the true values of masked patches, (batch, n, values), normalized as in training."""
        patches = self.encoder.normalize(side, select_patches(self.encoder.split_patches(side, x), masked))
        return normalize_each(patches)[0] if self.settings["normalize_patches"] else patches

    # --- training -----------------------------------------------------------------------------------

    def loss_terms(
        self,
        audio: Tensor,
        video: Tensor,
        related: Tensor,
        visible: dict[str, Tensor],
        masked: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Compute loss, audio_mse, video_mse, contrastive and contrastive_accuracy.

        related: (batch, batch) bool, which clips are not each other's negatives. Without reconstruction
        there is no audio_mse and video_mse.
        """
        inputs = {"audio": audio, "video": video}
        tokens = {side: self.encoder.encode_tokens(side, inputs[side], visible[side]) for side in SIDES}
        terms: dict[str, Tensor] = {}
        loss = audio.new_zeros((), dtype=torch.float32)
        if self.has_reconstruction:
            predictions = self.decode(tokens, visible, masked)
            for side in SIDES:
                target = self.targets(side, inputs[side], masked[side])
                terms[f"{side}_mse"] = F.mse_loss(predictions[side].float(), target)
            loss = loss + self.settings["reconstruction"] * (terms["audio_mse"] + terms["video_mse"])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings["contrastive"] > 0):
            means = [self.encoder.fuse(tokens[side], side).mean(1).float() for side in SIDES]
            terms["contrastive"] = self.infonce(*means, related)
            terms["contrastive_accuracy"] = self._contrastive_accuracy(*means, related)
        if self.settings["contrastive"]:
            loss = loss + self.settings["contrastive"] * terms["contrastive"]
        return {"loss": loss} | terms

    @torch.no_grad()
    def _contrastive_accuracy(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the share of pictures whose sound is the most similar of the batch."""
        cosine = F.normalize(audio, dim=1) @ F.normalize(video, dim=1).T
        rows = torch.arange(len(cosine), device=cosine.device)
        nearest = cosine.masked_fill(related & (rows[:, None] != rows), -2).argmax(0)
        return (nearest == rows).float().mean()

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        terms = self.loss_terms(
            batch["audio"], batch["video"], batch["related"], *self.draw_masks(len(batch["clip"]))
        )
        self.log("loss", terms["loss"], prog_bar=True, batch_size=len(batch["clip"]))
        metrics = {name: value.detach() for name, value in terms.items() if name != "loss"}
        return {"loss": terms["loss"], "logged_loss": terms["loss"].detach(), "logged_metrics": metrics}

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect the loss terms, with the same masks in every epoch, and embeddings of unmasked inputs."""
        generator = torch.Generator().manual_seed(number)
        count = len(batch["clip"])
        terms = self.loss_terms(
            batch["audio"], batch["video"], batch["related"], *self.draw_masks(count, generator)
        )
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        values = {name: value.float().expand(count) for name, value in terms.items()}
        self._val_outputs.append((batch["clip"], audio, video, values))

    def on_validation_epoch_end(self) -> None:
        *embeddings, terms = zip(*self._val_outputs, strict=True)
        clip, audio, video = map(torch.cat, embeddings)
        self._val_outputs.clear()
        self.val_metrics = {
            f"val/{name}": torch.cat([t[name] for t in terms]).mean().item() for name in terms[0]
        }
        self.val_metrics["val/auc"] = self.pair_metrics(clip, audio, video)[
            "val/auc"
        ]  # there is no threshold for an accuracy

    def rank(self) -> list[float]:
        """Return the negative loss."""
        return [-self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        common, section = super().describe(config), config["pretraining"]
        return replace(
            common,
            summary=f"{config['encoder']} for sounds and pictures, trained without labels to reconstruct"
            " masked patches",
            facts=common.facts | {"Masked": section["mask_ratio"]},
            settings=common.settings | {"pretraining": section, "label": config.get("label", "")},
        )
