"""A network of Hugging Face `transformers` on the middle frame, or on all frames of a window."""

import math
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from models.parts.hf.network import Pooling, Tower, make_tower
from models.parts.hf.pictures import FAMILIES
from models.parts.hub import scale
from models.parts.network import NetworkEncoder, Trainable
from models.video import encoders
from models.video._frames import Normalize
from pipeline.errors import UserError


@encoders.register
class Hf(NetworkEncoder):
    """`hf/<id or path>`: CLIP, DINOv2, DINOv3, PE-AV, SigLIP, VideoMAE, ViT or ViT-MAE, then linear.

    VideoMAE and PE-AV see all frames of a window, the others the middle one. Colours and size are those of
    the model's own preprocessing; frames are scaled to a square, and nothing is cropped.

    shape: (frames, height, width, 3) of one input.
    pretrained: with the model's weights; False: random weights.
    pooling: class, mean, attention or projection, as the family has it; None: the family's own.
    input_size: height and width to which frames are scaled, if the family allows it; None: the model's own.
    trainable: `none`, `all`, `lora`, or n for the last n blocks. lora_rank: of `lora`.
    definition: for a network whose weights are loaded later: the attribute of this name of the first one; the
    model's files are then not needed.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dim: int,
        *,
        name: str,
        pretrained: bool = True,
        pooling: Pooling | None = None,
        input_size: PositiveInt | None = None,
        trainable: Trainable = "none",
        lora_rank: PositiveInt = 8,
        definition: dict[str, Any] | None = None,
    ) -> None:
        if shape[3] != 3:
            raise UserError(f"video_encoder: {name} sees pictures of 3 channels, not {shape[3]}")
        tower, definition = make_tower(FAMILIES, name, pooling, pretrained, definition)
        n_frames = getattr(tower.config, "num_frames", None) if tower.reads_frames else None
        if n_frames not in (None, shape[0]):
            raise UserError(
                f"video_encoder: {name} sees {n_frames} frames: set video.window_frames: {n_frames}"
                f" (and video.frames to at least as many), not {shape[0]}"
            )
        super().__init__(tower, tower.n_features, dim, definition)
        own_size = picture_size(definition)
        self.size = [input_size, input_size] if input_size else own_size
        self.options = _resize_options(tower, self.size, own_size)
        self.normalize = Normalize(3, *picture_colours(definition["preprocessor"]))
        tower.restrict_training(
            trainable,
            lora_rank,
            lambda _: self.compute_features(torch.zeros(1, *shape, dtype=torch.uint8)),
        )

    def compute_features(self, x: Tensor) -> Tensor:
        """Map frames (batch, frames, height, width, 3) uint8 to vectors (batch, n_features)."""
        if self.trunk.reads_frames:
            images = scale(self.normalize(x.flatten(0, 1)), self.size).unflatten(0, x.shape[:2])
        else:
            images = scale(self.normalize(x[:, x.shape[1] // 2]), self.size)
        return self.trunk(images, **self.options)


def picture_size(definition: dict[str, Any]) -> list[int]:
    """Return the height and width of the images that a network was trained with. definition: of a tower."""
    preprocessor = definition["preprocessor"]
    if "max_num_patches" in preprocessor:  # SigLIP 2 for images of any shape
        side = math.isqrt(preprocessor["max_num_patches"]) * preprocessor["patch_size"]
        return [side, side]
    is_cropped = preprocessor.get("do_center_crop") and preprocessor.get("crop_size")
    size = preprocessor["crop_size"] if is_cropped else preprocessor.get("size")
    if not size:
        size = definition["config"]["image_size"]
    if isinstance(size, dict):
        return [size["height"], size["width"]] if "height" in size else [size["shortest_edge"]] * 2
    return [size, size] if isinstance(size, int) else list(size)


def picture_colours(preprocessor: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of the colours (0 to 1) that a network was trained with."""
    mean, std = [0.0] * 3, [1.0] * 3
    if preprocessor.get("do_normalize"):
        mean, std = preprocessor["image_mean"], preprocessor["image_std"]
    factor = preprocessor["rescale_factor"] if preprocessor.get("do_rescale") else 1
    return [x / (255 * factor) for x in mean], [x / (255 * factor) for x in std]


def _resize_options(tower: Tower, size: list[int], own_size: list[int]) -> dict[str, Any]:
    """Return the arguments by which a network accepts images of this size.

    Raises UserError if it does not. own_size: of the images that it was trained with.
    """
    if size == own_size:
        return {}
    patch = getattr(tower.config, "patch_size", 1)
    if tower.sizes == "own" or size[0] % patch:
        multiples = f"a multiple of {patch}" if tower.sizes != "own" else "null"
        raise UserError(f"input_size: {size[0]}: {tower.name} needs {multiples}")
    return {"interpolate_pos_encoding": True} if tower.sizes == "interpolated" else {}
