"""CAV-MAE's encoder: a transformer tower for each modality, and joint layers over both."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from torch import Tensor, nn

from models.joint import encoders
from models.joint._layers import JointLayer, apply_layers, encode_grid_positions, transformer_layer
from models.parts import hub_weights
from models.video._frames import MEAN, STD
from pipeline.errors import UserError

SIDES = ("audio", "video")
KINDS = (*SIDES, "both")  # of tokens: of one side, or of both sides together
SIZES = {  # name of the size -> its numbers, which keywords can override
    "tiny": {
        "width": 128,
        "heads": 4,
        "layers": 3,
        "joint_layers": 1,
        "decoder_width": 64,
        "decoder_heads": 4,
        "decoder_layers": 1,
    },
    "base": {
        "width": 768,
        "heads": 12,
        "layers": 11,
        "joint_layers": 1,
        "decoder_width": 512,
        "decoder_heads": 16,
        "decoder_layers": 8,
    },
}


@encoders.register
class CavMae(nn.Module):
    """CAV-MAE's encoder. The tokens are patches of the spectrogram and of the middle frame.

    Each modality has a tower of `layers`. The `joint_layers` after them share their weights for audio, video
    and both together, and have separate layer norms for each.

    audio_shape: (channels, freq, time). video_shape: (frames, height, width, 3). statistics: `mean` and `std`
    of the features in the training split.
    size: `tiny` for CPUs, or `base` as published; each number of it can be set by itself; 0: that of `size`.
    patch: the side of a patch, in columns and bands, and in pixels. The remainder is cut off: at the upper
    and right edge of the spectrogram, and around the picture.
    columns: of the spectrogram; a shorter one is padded with zeros, as the published code does to 1,024; 0:
    as many as the data have. normalization: mean and standard deviation of the features; null: `statistics`.
    pretrained: the weights of an image ViT for both towers: a file, `timm/<name>`, or True for timm's MAE.
    Source: Contrastive Audio-Visual Masked Autoencoder (arXiv 2210.07839, sections 3.1 to 3.3).
    """

    def __init__(
        self,
        audio_shape: tuple[int, int, int],
        video_shape: tuple[int, int, int, int],
        statistics: dict[str, float] | None = None,
        *,
        size: Literal["tiny", "base"] = "tiny",
        width: NonNegativeInt = 0,
        heads: NonNegativeInt = 0,
        layers: NonNegativeInt = 0,
        joint_layers: NonNegativeInt = 0,
        decoder_width: NonNegativeInt = 0,
        decoder_heads: NonNegativeInt = 0,
        decoder_layers: NonNegativeInt = 0,
        patch: PositiveInt = 16,
        columns: NonNegativeInt = 0,
        normalization: Annotated[Sequence[float], Field(min_length=2, max_length=2)] | None = None,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        overrides = {
            "width": width,
            "heads": heads,
            "layers": layers,
            "joint_layers": joint_layers,
            "decoder_width": decoder_width,
            "decoder_heads": decoder_heads,
            "decoder_layers": decoder_layers,
        }
        self.sizes = {name: overrides[name] or default for name, default in SIZES[size].items()}
        self.dim, heads = self.sizes["width"], self.sizes["heads"]
        channels, freq, time = audio_shape
        _, height, pixels, colours = video_shape
        self.patch = patch
        self.columns = columns or time // patch * patch
        self.channels = {"audio": channels, "video": colours}
        self.grid = {  # rows and columns of patches
            "audio": (freq // patch, self.columns // patch),
            "video": (height // patch, pixels // patch),
        }
        for side, grid in self.grid.items():
            if not all(grid):
                shape = (freq, columns or time) if side == "audio" else (height, pixels)
                raise UserError(
                    f"encoder cav_mae: {side} of {shape[0]} x {shape[1]} is smaller than a patch of {patch}:"
                    " set encoders.joint.cav_mae.patch"
                )
        for name, count in (("width", heads), ("decoder_width", self.sizes["decoder_heads"])):
            if self.sizes[name] % 4 or self.sizes[name] % count:
                raise UserError(
                    f"encoder cav_mae: {name} {self.sizes[name]} is no multiple of 4 and of its {count} heads"
                )
        patch_values = {side: patch * patch * self.channels[side] for side in SIDES}
        self.embed = nn.ModuleDict({side: nn.Linear(patch_values[side], self.dim) for side in SIDES})
        self.modality = nn.ParameterDict({side: torch.zeros(1, 1, self.dim) for side in SIDES})
        # Positions are trained; they start as fixed sines and cosines.
        self.positions = nn.ParameterDict(
            {side: encode_grid_positions(self.grid[side], self.dim) for side in SIDES}
        )
        self.towers = nn.ModuleDict(
            {
                side: nn.ModuleList(transformer_layer(self.dim, heads) for _ in range(self.sizes["layers"]))
                for side in SIDES
            }
        )
        self.joint = nn.ModuleList(
            JointLayer(self.dim, heads, KINDS) for _ in range(self.sizes["joint_layers"])
        )
        self.norms = nn.ModuleDict({kind: nn.LayerNorm(self.dim) for kind in KINDS})
        # Saved with the weights, which are trained for features of this mean and standard deviation.
        mean, std = normalization or (0.0, 1.0)
        if statistics and not normalization:
            mean, std = statistics["mean"], statistics["std"]
        if std <= 0:
            raise UserError(f"encoder cav_mae: normalization: the deviation {std:g} is not above 0")
        self.register_buffer("audio_mean", torch.tensor(float(mean)))
        self.register_buffer("audio_std", torch.tensor(float(std)))
        # (pixel / 255 - mean) / std of each value of a patch, as one multiplication and one addition.
        colour_mean, colour_std = (
            torch.tensor(statistic).repeat(patch * patch * colours // 3) for statistic in (MEAN, STD)
        )
        self.register_buffer("video_scale", 1 / (255 * colour_std), persistent=False)
        self.register_buffer("video_shift", -colour_mean / colour_std, persistent=False)
        self.gradient_checkpointing = False
        initialize_weights(self)
        if pretrained:
            self.load_image_weights(pretrained)

    # --- patches ------------------------------------------------------------------------------------

    def split_patches(self, side: str, x: Tensor) -> Tensor:
        """Cut windows into patches: (batch, patches, patch * patch * channels), row by row of the grid.

        side: "audio" or "video". x: its windows, (batch, channels, freq, time) or (batch, frames, height,
        width, 3); the patches have the same type.
        """
        patch, (rows, columns) = self.patch, self.grid[side]
        height, width = rows * patch, columns * patch  # of what is not cut off
        if side == "audio":
            image = x[:, :, :height, :width].movedim(1, 3)  # (B, F, T, C)
            if (padding := width - image.shape[2]) > 0:
                image = nn.functional.pad(image, (0, 0, 0, padding))
        else:
            frame = x[:, x.shape[1] // 2]  # the middle one, (B, H, W, 3)
            top, left = (frame.shape[1] - height) // 2, (frame.shape[2] - width) // 2
            image = frame[:, top : top + height, left : left + width]
        image = image.unflatten(2, (columns, patch)).unflatten(1, (rows, patch))
        # (B, rows, patch, columns, patch, C) to (B, rows * columns, patch * patch * C)
        return image.transpose(2, 3).flatten(3).flatten(1, 2)

    def normalize(self, side: str, patches: Tensor) -> Tensor:
        """Scale patches of a side, (batch, n, values), to mean 0 and standard deviation 1 over the data."""
        if side == "audio":
            return (patches.float() - self.audio_mean) / self.audio_std
        return torch.addcmul(self.video_shift, patches, self.video_scale)

    def denormalize(self, side: str, patches: Tensor) -> Tensor:
        """Undo `split_patches` and `normalize`: put patches together to spectrograms or frames.

        patches: all of a window, normalized: (batch, patches, values). Returns features (batch, freq, time,
        channels), or pixels from 0 to 255, (batch, height, width, 3), without what was cut off.
        """
        if side == "audio":
            values = patches * self.audio_std + self.audio_mean
        else:
            values = ((patches - self.video_shift) / self.video_scale).clamp(0, 255)
        patch = self.patch
        values = values.unflatten(2, (patch, patch, -1)).unflatten(1, self.grid[side])
        # (B, rows, columns, patch, patch, C) to (B, rows * patch, columns * patch, C)
        return values.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    # --- tokens -------------------------------------------------------------------------------------

    def encode_tokens(self, side: str, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode windows with the tower of one modality: (batch, tokens, dim).

        side: "audio" or "video". x: its windows, (batch, channels, freq, time) or (batch, frames, height,
        width, 3). visible: numbers of the patches to encode, (batch, n); None: all.
        """
        patches, positions = self.split_patches(side, x), self.positions[side]
        if visible is not None:
            patches = select_patches(patches, visible)
            positions = select_patches(positions.expand(len(visible), -1, -1), visible)
        tokens = self.embed[side](self.normalize(side, patches)) + positions + self.modality[side]
        return apply_layers(self.towers[side], tokens, gradient_checkpointing=self.gradient_checkpointing)

    def fuse(self, tokens: Tensor, kind: str) -> Tensor:
        """Apply the joint layers to tokens (batch, tokens, dim), with the norms of `kind`, one of KINDS."""
        tokens = apply_layers(self.joint, tokens, kind, gradient_checkpointing=self.gradient_checkpointing)
        return self.norms[kind](tokens)

    # --- one vector ---------------------------------------------------------------------------------

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Embed sound and picture in one vector, the mean of the joint tokens: (batch, dim).

        audio: (batch, channels, freq, time). video: (batch, frames, height, width, 3) uint8.
        """
        tokens = torch.cat([self.encode_tokens("audio", audio), self.encode_tokens("video", video)], dim=1)
        return self.fuse(tokens, "both").mean(1)

    def embed_alone(self, side: str, x: Tensor) -> Tensor:
        """Embed the windows `x` of one side, "audio" or "video": (batch, dim), not normalized."""
        return self.fuse(self.encode_tokens(side, x), side).mean(1)

    def embed_without_other(self, side: str, x: Tensor) -> Tensor:
        """Embed the windows `x` of one side for a network of both, if the other is missing: (batch, dim).

        It is the mean of two embeddings, with the norms of `both` and with those of `side` (section 4.3).
        """
        tokens = self.encode_tokens(side, x)
        return (self.fuse(tokens, "both").mean(1) + self.fuse(tokens, side).mean(1)) / 2

    # --- weights ------------------------------------------------------------------------------------

    def group_matcher(self, coarse: bool = False) -> dict:
        """Return the patterns by which timm assigns weights to depths, for layer-wise learning rates.

        The format is that of timm.models.group_parameters. coarse: not used; timm passes it.
        """
        return {
            "stem": r"^(?:embed|modality|positions)\.",
            "towers": [(r"^towers\.\w+\.(\d+)", None)],
            "joint": [(r"^joint\.(\d+)", None), (r"^norms\.", (99_999,))],
        }

    def load_resized(self, weights: dict[str, Tensor], grids: dict[str, tuple[int, int]]) -> None:
        """Load the weights of another CavMae. Its positions are interpolated if its inputs had another size.

        weights: the state_dict of the other one. grids: its rows and columns of patches, for each side.
        Raises RuntimeError if the weights do not fit.
        """
        weights = dict(weights)
        for side in SIDES:
            name, old, new = f"positions.{side}", tuple(grids[side]), self.grid[side]
            if name in weights and old != new:
                weights[name] = resample_abs_pos_embed(
                    weights[name], new_size=list(new), old_size=list(old), num_prefix_tokens=0
                )
        self.load_state_dict(weights)

    @torch.no_grad()
    def load_image_weights(self, source: bool | str) -> None:
        """Copy the layers of an image ViT: the first ones to both towers, the next ones to the joint layers.

        The class token and positions are not used.
        source: a file, `timm/<name>`, or True for timm's MAE. Raises UserError if it does not fit.
        """
        name = "timm/vit_base_patch16_224.mae" if source is True else str(source)
        state = hub_weights.load_weights(name)
        key = f"encoders.joint.cav_mae.pretrained: {name}"
        image = state.get("patch_embed.proj.weight")
        expected = (self.dim, self.patch, self.patch)
        if image is None or (image.shape[0], *image.shape[2:]) != expected:
            raise UserError(
                f"{key}: not a ViT of width {self.dim} with patches of {self.patch} (it has"
                f" {None if image is None else tuple(image.shape)})"
            )
        for side in SIDES:
            conv = adapt_input_conv(self.channels[side], image)  # (D, C, p, p)
            self.embed[side].weight.copy_(conv.permute(0, 2, 3, 1).flatten(1))
            self.embed[side].bias.copy_(state["patch_embed.proj.bias"])
        depth = self.sizes["layers"]
        for number in range(depth + len(self.joint)):
            prefix = f"blocks.{number}."
            weights = {
                name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
            }
            if number < depth:
                targets = [tower[number] for tower in self.towers.values()]
            else:
                targets = [self.joint[number - depth]]
                weights = _copy_norms(weights)
            try:
                for target in targets:
                    target.load_state_dict(weights)
            except RuntimeError as e:
                reason = " ".join(str(e).split())[:200]
                raise UserError(f"{key}: its layer {number} does not fit: {reason}") from None


def _copy_norms(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a ViT's layer as weights of a JointLayer: each kind gets a copy of the layer norms."""
    norms = {name: value for name, value in weights.items() if name.startswith("norm")}
    copies = {name.replace(".", f".{kind}.", 1): value for name, value in norms.items() for kind in KINDS}
    return {name: value for name, value in weights.items() if name not in norms} | copies


def select_patches(patches: Tensor, numbers: Tensor) -> Tensor:
    """Select patches by their numbers (batch, n) from (batch, patches, values): (batch, n, values)."""
    return patches.gather(1, numbers[:, :, None].expand(-1, -1, patches.shape[2]))


def initialize_weights(module: nn.Module) -> None:
    """Initialize weights as MAE does: linear layers by Xavier, biases 0, learned vectors small."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    for name, vector in module.named_parameters():
        if "modality" in name or "mask_token" in name:
            nn.init.normal_(vector, std=0.02)
