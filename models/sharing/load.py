"""Load a model from a folder, a project, a Git repository with DVC, or Hugging Face.

from earsight import load
model = load("user/bells")  # or "dist/bells", "../project", "https://example.org/project.git"
"""

import json
from pathlib import Path

from models import checkpoint
from models.checkpoint import CONFIG, FORMAT
from models.inference.file_model import FileModel
from models.places import FILES, open_folder
from models.version import VERSION
from pipeline.errors import UserError

REQUIRED_KEYS = ("task", "input", "modality", "encoders", "train", "inputs", "audio_shape", "video_shape")


def load(place: str | Path, revision: str | None = None) -> FileModel:
    """Load a trained model. `place` is one of:

    - a folder with config.json and model.safetensors, as `make export` writes it;
    - the folder of a project: its model is in the folder `checkpoints`;
    - the URL of a project in Git: DVC downloads `checkpoints`;
    - a model on Hugging Face, `user/name`, if there is no folder of this name.

    revision: a branch, a tag or a commit, in Git or on Hugging Face. It may also be part of the place, as
    `user/name@revision`. None: the newest.
    Raises UserError if there is no model, it cannot be downloaded, or another version wrote it.
    """
    with open_folder(place, revision) as folder:
        return _open(folder, str(place))


def _open(folder: Path, name: str) -> FileModel:
    """Open the model in `folder`.

    Raises UserError if that fails. Its message has `name`, which the user gave for the model, and the version
    of Earsight that wrote it.
    """
    for file in FILES:
        if not (folder / file).is_file():
            raise UserError(f"{name}: no model: {file} is missing: train (dvc repro), or export it again")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"{name}: {CONFIG} cannot be read ({' '.join(str(e).split())[:100]})") from None
    version = config.get("version") if isinstance(config, dict) else None
    if version == VERSION:
        advice = f"Earsight {version} wrote it, as this one: download or export it again"
    else:
        writer = f"Earsight {version} wrote it" if version else "it does not say which version wrote it"
        advice = f"{writer}, this is {VERSION}: load it with that version, or train and export it again"
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{name}: {CONFIG} is not of format {FORMAT}: {advice}")
    if missing := [key for key in REQUIRED_KEYS if key not in config]:
        raise UserError(f"{name}: {CONFIG} has no {missing[0]}: {advice}")
    try:
        return FileModel(checkpoint.load(folder))
    except Exception as e:  # an unknown configuration can fail anywhere in the network
        why = str(e).removesuffix(": train it again").removeprefix(f"{folder}: ")
        raise UserError(f"{name}: {' '.join(why.split()) or type(e).__name__}: {advice}") from None
