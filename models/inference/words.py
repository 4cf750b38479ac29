"""Words as queries: texts in the space of a trained model, through the text side of one of its towers.

A model that was trained on sounds and pictures alone understands words if one of its encoders is a head on
stored features of a network that was trained with captions. The text takes the place of the picture (or of
the sound): the same head maps it to an embedding, which sounds and pictures can be compared with.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from models.checkpoint import Model
from models.parts.hf.files import PREFIX
from models.parts.text import TextEncoder
from pipeline.errors import UserError

POOLING = "projection"  # the vector that such a model compares with texts


def text_side(model: Model) -> str | None:
    """Return the modality whose place a text can take, "video" or "audio"; None if there is none.

    It needs the encoder `cached` with one tower of Hugging Face, whose keyword `pooling` is `projection`.
    """
    for side in ("video", "audio"):
        towers: dict[str, dict[str, Any]] = model.config.get("features", {}).get(side, {}).get("towers", {})
        names = [
            name
            for name, keywords in towers.items()
            if name.startswith(PREFIX) and keywords.get("pooling") == POOLING
        ]
        if len(names) == len(towers) == 1:
            return side
    return None


def embed_texts(model: Model, texts: list[str]) -> tuple[str, np.ndarray]:
    """Embed texts. Returns the modality whose place they take, and their embeddings (n, dim) of length 1.

    Raises UserError if the model has no tower with a text side, or that cannot be loaded.
    """
    side = text_side(model)
    if side is None:
        raise UserError(
            "the model does not understand words: train one with video_encoder: cached, one hf/ network under"
            " towers.video (CLIP, SigLIP) and encoders.video.hf.pooling: projection (docs/towers.md)"
        )
    [name] = model.config["features"][side]["towers"]
    vectors = _load_text_encoder(name)(texts)
    encoder = model.module.get_submodule(model.module.encoder_paths[side])
    with torch.inference_mode():
        embeddings = F.normalize(encoder(vectors[:, None].to(model.device)).float(), dim=1)
    return side, embeddings.cpu().numpy()


@functools.lru_cache(2)
def _load_text_encoder(name: str) -> TextEncoder:
    """Load the text side of a network, once in each process."""
    return TextEncoder(name)
