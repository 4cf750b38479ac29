"""The file of a model's weights. This module does not import torch, which takes seconds."""

import hashlib
from pathlib import Path

from pipeline.errors import UserError

WEIGHTS = "model.safetensors"


def weights_digest(folder: str | Path) -> str:
    """Return a hash of the file of weights in `folder`. Raises UserError if it cannot be read."""
    path = Path(folder) / WEIGHTS
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): train a model first (dvc repro)") from None
