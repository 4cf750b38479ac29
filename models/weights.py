"""The file of a model's weights. This module does not import torch, which takes seconds."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

WEIGHTS = "model.safetensors"


def weights_digest(folder: str | Path) -> str:
    """Return a hash of the file of weights in `folder`. Raises UserError if it cannot be read."""
    path = Path(folder) / WEIGHTS
    try:
        return file_digest(path)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): train a model first (dvc repro)") from None


def file_digest(path: str | Path) -> str:
    """Return a hash of the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def list_network_files(name: str, keywords: Mapping[str, Any]) -> list[Path]:
    """Return the local files from which the network of an encoder is loaded.

    name, keywords: of the encoder, such as `hf/<folder>`, or `timm/<name>` with a path as `pretrained`. The
    list is empty if the files are downloaded, or if there are none.
    """
    library, _, network = name.partition("/")
    if library == "hf":
        files = Path(network).expanduser().glob("*")
        return sorted(file for file in files if file.suffix in (".json", ".safetensors"))
    pretrained = keywords.get("pretrained")
    file = weights_file(name, pretrained) if isinstance(pretrained, str) else None
    return [file] if file and file.is_file() else []


def weights_file(name: str, pretrained: str) -> Path:
    """Return the path of the weights of a network: `pretrained`, or a file in it if it is a folder.

    name: `timm/...` or `torchvision/...`: the file in a folder is `<name>.safetensors`.
    """
    path = Path(pretrained).expanduser()
    return path / f"{name.partition('/')[2]}.safetensors" if path.is_dir() else path
