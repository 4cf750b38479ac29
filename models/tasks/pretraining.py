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
from models.tasks._pairs import Pairs, select_clips
from models.tasks._plan import Plan
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError

EPSILON = 1e-6  # added to a patch's variance, so that a patch of equal values is not divided by 0


def standardize_patches(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale each patch by itself to mean 0 and standard deviation 1. patches: (batch, n, values).

    Returns the scaled patches, (batch, n, values), and the means and the standard deviations of the original
    ones, (batch, n, 1) each.
    """
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    scaled = (patches - mean) * (variance + EPSILON).rsqrt()
    return scaled, mean, (variance + EPSILON).sqrt()


@dataclass(frozen=True, kw_only=True)
class PretrainingExperiment(Experiment):
    """The values of params.yaml that the task pretraining reads.

    pretraining: the section of that name, without its sections `train` and `augment`.
    """

    pretraining: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Create the experiment that params.yaml describes.

        `modality` and `label` keep their defaults: this task learns from both modalities, without labels.
        params: the content of params.yaml. changes: values of fields to use instead of those in `params`;
        `pretraining` may contain only some keys of that section.
        """
        encoder = changes.get("encoder") or params.encoder
        section = params.pretraining.model_dump(exclude={"train", "augment"}) | changes.get("pretraining", {})
        values: dict[str, Any] = {
            "encoders": {"joint": params.encoders.joint.get(encoder, {})},
            "input": params.input,
            "seed": params.seed,
        }
        fixed = {"task": "pretraining", "encoder": encoder, "pretraining": section}
        return cls(**values | changes | fixed)


@tasks.register
class Pretraining(Pairs):
    """A masked autoencoder: it encodes the visible patches of both modalities, and predicts the masked ones.

    loss = reconstruction * (E_audio + E_video) + contrastive * InfoNCE(mean tokens of each modality alone).
    E is the mean squared error on masked patches. If the setting `normalize_patches` is true, each patch is
    first scaled by itself to mean 0 and standard deviation 1. Clips of one group (video) are not each other's
    negatives. Source: CAV-MAE (arXiv 2210.07839, section 3).

    Terms: a patch is a square of the spectrogram or of the frame, as a vector of its values. Patches of a
    clip and modality have indices from 0.

    config: the content of config.json. Read here: `encoder`; its sizes `encoders`, {"joint": {...}};
    `pretraining`, the section of params.yaml; and `statistics`, mean and standard deviation of the features.
    """

    experiment_type = PretrainingExperiment
    rules = (Rule({}, {"modality": "both"}, "use modality: both"),)
    defaults = {"encoder": "cav_mae"}
    stage = "pretrain"

    def __init__(self, config: dict[str, Any], audio_shape: tuple, video_shape: tuple, train: Any) -> None:
        super().__init__(config, audio_shape, video_shape, train)
        self.settings = config["pretraining"]
        sizes = config["encoders"]["joint"]
        self.encoder = encoders.make(
            config["encoder"], audio_shape, video_shape, config.get("statistics"), **sizes
        )
        for modality, (rows, columns) in self.encoder.grid.items():  # numbers of patches
            if rows * columns < 2:
                raise UserError(
                    f"encoder {config['encoder']}: {modality} is a single patch of {self.encoder.patch}, but"
                    " masking needs 2: set encoders.joint.cav_mae.patch"
                )
        self.decoder = Decoder(self.encoder)
        self.matcher = Distance(self.encoder.dim)
        self.infonce = Infonce(
            temperature=self.settings["temperature"], learned=False, both_ways=self.settings["both_ways"]
        )
        self.has_reconstruction = self.settings["reconstruction"] > 0
        self.evaluations = ("pairs", "reconstruction") if self.has_reconstruction else ("pairs",)
        self.encoder.positions.requires_grad_(False)

    @staticmethod
    def plan(experiment: Any, data: Dataset) -> Plan:
        """Choose all clips of each split. Raises UserError if there are too few clips."""
        relation = pairing.build_relation("clip", data.group, data.labels)

        def make_sampler(clips: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.Sampler:
            return pairing.Sampler(clips, relation, batch_size, seed, **options)

        return Plan(select_clips(data, relation), make_sampler)

    # --- embeddings ---------------------------------------------------------------------------------

    def embed_audio(self, x: Tensor) -> Tensor:
        """Map sounds (batch, channels, freq, time) to embeddings (batch, dim): mean tokens, of length 1."""
        return F.normalize(self.encoder.embed_alone("audio", x).float(), dim=1)

    def embed_video(self, x: Tensor) -> Tensor:
        """Map pictures (batch, frames, height, width, 3) uint8 to embeddings (batch, dim): mean tokens, of
        length 1."""
        return F.normalize(self.encoder.embed_alone("video", x).float(), dim=1)

    def embed_pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Embed windows of sound and picture, each modality by itself: (batch, dim) twice, of length 1."""
        return self.embed_audio(audio), self.embed_video(video)

    # --- masks --------------------------------------------------------------------------------------

    def draw_masks(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Draw at random which patches of each clip and modality are visible, and which are masked.

        batch: number of clips. Returns two dictionaries, visible and masked: modality -> indices of patches,
        (batch, n). The setting `mask` is the mode of masking of sounds; that of pictures is `random`.
        """
        ratio = self.settings["mask_ratio"]
        visible, masked = {}, {}
        for modality in SIDES:
            mode = self.settings["mask"] if modality == "audio" else "random"
            noise = masks.draw_mask_noise(batch, self.encoder.grid[modality], ratio, mode, generator)
            visible_indices, masked_indices = masks.split_by_noise(noise, ratio)
            visible[modality] = visible_indices.to(self.device)
            masked[modality] = masked_indices.to(self.device)
        return visible, masked

    def reconstruct(
        self, audio: Tensor, video: Tensor, visible: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Predict the masked patches of windows of sound and picture.

        visible, masked: as returned by `draw_masks`, modality -> indices of patches, (batch, n).
        Returns modality -> the patches, (batch, masked patches, values), scaled as those of `select_targets`.
        """
        tokens = self._encode_visible({"audio": audio, "video": video}, visible)
        return self._predict_masked(tokens, visible, masked)

    def _encode_visible(self, windows: dict[str, Tensor], visible: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode the visible patches of each modality by itself: modality -> (batch, n, dim)."""
        return {
            modality: self.encoder.encode_tokens(modality, windows[modality], visible[modality])
            for modality in SIDES
        }

    def _predict_masked(
        self, tokens: dict[str, Tensor], visible: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Predict the masked patches from the tokens of the visible ones, with the joint layers and decoder.

        tokens: modality -> (batch, n, dim). Returns modality -> (batch, masked patches, values).
        """
        both = torch.cat([tokens[modality] for modality in SIDES], dim=1)
        return self.decoder(self.encoder.fuse(both, "both"), visible, masked)

    def select_targets(self, modality: str, x: Tensor, patch_indices: Tensor) -> Tensor:
        """Return the true values of some patches, scaled as the predictions: (batch, n, values).

        x: the windows of that modality. patch_indices: (batch, n).
        """
        patches = select_patches(self.encoder.split_patches(modality, x), patch_indices)
        patches = self.encoder.normalize(modality, patches)  # with statistics of the whole data
        return standardize_patches(patches)[0] if self.settings["normalize_patches"] else patches

    # --- training -----------------------------------------------------------------------------------

    def loss_terms(
        self,
        audio: Tensor,
        video: Tensor,
        related: Tensor,
        visible: dict[str, Tensor],
        masked: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Compute `loss`, audio_mse, video_mse, contrastive and contrastive_accuracy: a number each.

        audio, video: windows. related: (batch, batch) bool, which clips are not each other's negatives.
        visible, masked: as returned by `draw_masks`. If the weight of the reconstruction is 0, there is no
        audio_mse and no video_mse.
        """
        windows = {"audio": audio, "video": video}
        tokens = self._encode_visible(windows, visible)
        terms: dict[str, Tensor] = {}
        loss = audio.new_zeros((), dtype=torch.float32)
        if self.has_reconstruction:
            predictions = self._predict_masked(tokens, visible, masked)
            for modality in SIDES:
                target = self.select_targets(modality, windows[modality], masked[modality])
                terms[f"{modality}_mse"] = F.mse_loss(predictions[modality].float(), target)
            loss = loss + self.settings["reconstruction"] * (terms["audio_mse"] + terms["video_mse"])
        # The contrastive terms are metrics, too: if their weight is 0, compute them without a gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings["contrastive"] > 0):
            audio_mean, video_mean = (
                self.encoder.fuse(tokens[modality], modality).mean(1).float() for modality in SIDES
            )
            terms["contrastive"] = self.infonce(audio_mean, video_mean, related)
            terms["contrastive_accuracy"] = self._contrastive_accuracy(audio_mean, video_mean, related)
        if self.settings["contrastive"]:
            loss = loss + self.settings["contrastive"] * terms["contrastive"]
        return {"loss": loss} | terms

    @torch.no_grad()
    def _contrastive_accuracy(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the fraction of pictures whose own sound is the most similar one of the batch.

        audio, video: (batch, dim) vectors. related: (batch, batch) bool, which clips are not each other's
        negatives; their sounds do not compete.
        """
        cosine = F.normalize(audio, dim=1) @ F.normalize(video, dim=1).T  # (sounds, pictures)
        indices = torch.arange(len(cosine), device=cosine.device)
        is_excluded = related & (indices[:, None] != indices)
        nearest = cosine.masked_fill(is_excluded, -2).argmax(0)  # -2 is less than any cosine
        return (nearest == indices).float().mean()

    def training_step(self, batch: dict[str, Tensor], _: int) -> dict[str, Tensor]:
        """Compute the loss of a batch with random masks. The curves show it, and each of its terms."""
        visible, masked = self.draw_masks(len(batch["clip"]))
        terms = self.loss_terms(batch["audio"], batch["video"], batch["related"], visible, masked)
        metrics = {name: value.detach() for name, value in terms.items() if name != "loss"}
        return {"loss": terms["loss"], "logged_loss": terms["loss"].detach(), "logged_metrics": metrics}

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        """Collect the clips, the embeddings of unmasked windows, and the loss terms, once for each clip.

        number: the batch's number in the epoch. The masks depend on it alone: they are the
        same in every epoch.
        """
        count = len(batch["clip"])
        visible, masked = self.draw_masks(count, torch.Generator().manual_seed(number))
        terms = self.loss_terms(batch["audio"], batch["video"], batch["related"], visible, masked)
        audio, video = self.embed_pair(batch["audio"], batch["video"])
        values = {name: value.float().expand(count) for name, value in terms.items()}
        self._val_outputs.append((batch["clip"], audio, video, values))

    def finish_validation(self) -> None:
        """Set `val_metrics`: the mean of each loss term over clips, and the AUC of the validation pairs."""
        clips, audio, video, terms = zip(*self._val_outputs, strict=True)  # of each batch
        self._val_outputs.clear()
        self.val_metrics = {}
        for name in terms[0]:
            values = torch.cat([batch_terms[name] for batch_terms in terms])
            self.val_metrics[f"val/{name}"] = values.mean().item()
        pair_metrics = self.pair_metrics(torch.cat(clips), torch.cat(audio), torch.cat(video))
        # Not the accuracy of pairs: it needs a threshold, and the loss trains none.
        self.val_metrics["val/auc"] = pair_metrics["val/auc"]

    def rank(self) -> list[float]:
        """Return how good this epoch is, larger is better: the negative loss."""
        return [-self.val_metrics["val/loss"]]

    @classmethod
    def describe(cls, config: dict[str, Any]) -> Description:
        """Describe the model whose config.json is `config`: its encoder and how it was pretrained."""
        common, section = super().describe(config), config["pretraining"]
        return replace(
            common,
            summary=f"{config['encoder']} for sounds and pictures, trained without labels to reconstruct"
            " masked patches",
            facts=common.facts | {"Masked": section["mask_ratio"]},
            settings=common.settings | {"pretraining": section, "label": config.get("label", "")},
        )
