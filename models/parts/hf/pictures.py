"""Families of `transformers` for pictures."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.parts.hf.network import Tower
from models.parts.hf.pe import Pe


class Clip(Tower):
    """The vision tower of CLIP (arXiv 2103.00020)."""

    section = "vision_config"
    poolings = ("projection", "class", "mean")
    sizes = "interpolated"

    @property
    def model_name(self) -> str:
        return "CLIPVisionModelWithProjection" if self.pooling == "projection" else "CLIPVisionModel"

    @property
    def n_features(self) -> int:
        projection, hidden = self.config.projection_dim, self.config.hidden_size
        return projection if self.pooling == "projection" else hidden

    def pool(self, outputs: Any) -> Tensor:
        if self.pooling == "projection":
            return outputs.image_embeds
        pooled = super().pool(outputs)
        return self.net.post_layernorm(pooled) if self.pooling == "mean" else pooled


class Siglip(Tower):
    """The vision tower of SigLIP and SigLIP 2 (arXiv 2303.15343, 2502.14786).

    `projection` is `attention`: what its attention pooling gives is compared with texts as it is.
    """

    section = "vision_config"
    model = "SiglipVisionModel"
    poolings = ("attention", "projection", "mean")
    prefix_tokens = 0
    sizes = "interpolated"

    def make_net(self, folder: Path | None) -> nn.Module:
        self.config.vision_use_head = self.pooling != "mean"
        return super().make_net(folder)


class Siglip2(Siglip):
    """The vision tower of SigLIP 2 for images of any shape (NaFlex), here of squares."""

    model = "Siglip2VisionModel"
    sizes = "any"

    def forward(self, inputs: Tensor, **options: Any) -> Tensor:
        """Map images (batch, 3, height, width) to vectors; options are not used."""
        patch = self.config.patch_size
        n_rows, n_columns = inputs.shape[2] // patch, inputs.shape[3] // patch
        patches = inputs.unflatten(3, (n_columns, patch)).unflatten(2, (n_rows, patch))
        patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # (batch, patches, numbers)
        shapes = torch.tensor([[n_rows, n_columns]]).expand(len(inputs), 2)
        mask = torch.ones(patches.shape[:2], dtype=torch.long, device=inputs.device)
        return self.pool(self.net(patches, pixel_attention_mask=mask, spatial_shapes=shapes))


class Dinov2(Tower):
    """DINOv2 (arXiv 2304.07193)."""

    model = "Dinov2Model"
    sizes = "any"
    poolings = ("class", "mean")
    unused = ("embeddings.mask_token",)


class Dinov2WithRegisters(Dinov2):
    """DINOv2 with registers (arXiv 2309.16588)."""

    model = "Dinov2WithRegistersModel"

    def pool(self, outputs: Any) -> Tensor:
        if self.pooling == "mean":
            return outputs.last_hidden_state[:, 1 + self.config.num_register_tokens :].mean(1)
        return super().pool(outputs)


class Dinov3(Dinov2WithRegisters):
    """DINOv3 (arXiv 2508.10104), a transformer."""

    model = "DINOv3ViTModel"


class Dinov3ConvNext(Tower):
    """DINOv3 (arXiv 2508.10104), a convolutional network."""

    model = "DINOv3ConvNextModel"
    sizes = "any"
    poolings = ("mean",)

    @property
    def n_features(self) -> int:
        return self.config.hidden_sizes[-1]

    def pool(self, outputs: Any) -> Tensor:
        return outputs.pooler_output  # the mean of all places, and a layer norm


class Vit(Tower):
    """Vision Transformer (arXiv 2010.11929)."""

    model = "ViTModel"
    poolings = ("class", "mean")
    options = {"add_pooling_layer": False}
    sizes = "interpolated"

    def pool(self, outputs: Any) -> Tensor:
        return outputs.last_hidden_state[:, 0] if self.pooling == "class" else super().pool(outputs)


class VitMae(Vit):
    """The encoder of a masked autoencoder (arXiv 2111.06377), which sees whole images."""

    model = "ViTMAEModel"
    options: ClassVar[dict[str, Any]] = {}
    settings = {"mask_ratio": 0.0}

    def forward(self, inputs: Tensor, **options: Any) -> Tensor:
        patches = inputs.shape[2] // self.config.patch_size * (inputs.shape[3] // self.config.patch_size)
        order = torch.arange(patches, device=inputs.device, dtype=torch.float32)  # otherwise a random one
        return super().forward(inputs, noise=order.expand(len(inputs), patches), **options)


class VideoMae(Tower):
    """VideoMAE (arXiv 2203.12602), which sees several frames."""

    model = "VideoMAEModel"
    poolings = ("mean",)
    prefix_tokens = 0
    reads_frames = True


class PeVideo(Pe):
    """The video side of PE-AV, which sees any number of frames."""

    kind = "video"
    preprocessor = "video"
    reads_frames = True


FAMILIES: dict[str, type[Tower]] = {
    "clip": Clip,
    "clip_vision_model": Clip,
    "dinov2": Dinov2,
    "dinov2_with_registers": Dinov2WithRegisters,
    "dinov3_convnext": Dinov3ConvNext,
    "dinov3_vit": Dinov3,
    "pe_audio_video": PeVideo,
    "pe_video": PeVideo,
    "siglip": Siglip,
    "siglip_vision_model": Siglip,
    "siglip2": Siglip2,
    "siglip2_vision_model": Siglip2,
    "videomae": VideoMae,
    "vit": Vit,
    "vit_mae": VitMae,
}
