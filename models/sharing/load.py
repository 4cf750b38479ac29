"""Load a model from a folder, a project, a Git repository with DVC, or Hugging Face.

from earsight import load
model = load("user/bells")  # or "dist/bells", "../project", "https://example.org/project.git"
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from models import checkpoint
from models.checkpoint import CONFIG, FORMAT
from models.inference.file_model import FileModel
from models.sharing import hub
from models.version import VERSION
from models.weights import WEIGHTS
from pipeline.errors import UserError

MODEL = "checkpoints"  # the folder of a project's model
# No other file is downloaded or opened. JSON and safetensors cannot run code, unlike pickles.
FILES = (CONFIG, WEIGHTS)
GIT_URL = re.compile(r"(https?|ssh|git|file)://.+|[\w.-]+@.+|.+\.git/?")
REQUIRED_KEYS = ("task", "input", "modality", "encoders", "train", "inputs", "audio_shape", "video_shape")


def load(place: str | Path, revision: str | None = None) -> FileModel:
    """Load a trained model. `place` is one of:

    - a folder with config.json and model.safetensors, as `make export` writes it;
    - the folder of a project: its model is in the folder `checkpoints`;
    - the URL of a project in Git: DVC downloads `checkpoints`;
    - a model on Hugging Face, `user/name`, if there is no folder of this name.

    revision: a branch, a tag or a commit, in Git or on Hugging Face; None: the newest.
    Raises UserError if there is no model, it cannot be downloaded, or another version wrote it.
    """
    name = str(place)
    folder = Path(name).expanduser()
    is_project = (folder / "dvc.yaml").is_file()
    if (folder / CONFIG).is_file() or (is_project and revision is None):
        if revision is not None:
            raise UserError(f"revision {revision}: {name} is a folder without revisions: leave it out")
        return _open(folder if (folder / CONFIG).is_file() else folder / MODEL, name)
    if is_project or GIT_URL.fullmatch(name):
        with tempfile.TemporaryDirectory() as temporary:
            _download(str(folder) if is_project else name, revision, Path(temporary))
            return _open(Path(temporary), name)
    if folder.is_dir():
        raise UserError(f"{name}: no model in this folder: it needs {' and '.join(FILES)}, or a project")
    message = "neither a folder with a model, nor the URL of a project in Git, nor user/name on Hugging Face"
    if not hub.REPO.fullmatch(name):
        raise UserError(f"{name}: {message}")
    try:
        return _open(hub.pull(name, revision, FILES), name)
    except hub.RepositoryNotFound as e:
        raise UserError(f"{name}: {message} ({e})") from None


def _download(url: str, revision: str | None, folder: Path) -> None:
    """Download the model of a project from Git or from DVC's remote storage into `folder`.

    url: of the project in Git, or a folder that is a Git repository. revision: a branch, a tag or a commit.
    Raises UserError if it cannot be downloaded.
    """
    from dvc.api import DVCFileSystem  # takes half a second to import, and only Git URLs need it
    from dvc.repo.open_repo import clean_repos

    try:
        files = DVCFileSystem(url, rev=revision)
        for name in FILES:
            files.get_file(f"{MODEL}/{name}", str(folder / name))
    except Exception as e:  # Git, DVC and each kind of storage have their own error classes
        at = f" at revision {revision}" if revision else ""
        why = "; ".join(dict.fromkeys(_reasons(e)))[:200]
        raise UserError(
            f"{url}{at}: its {MODEL} cannot be downloaded ({why}): check the URL, the revision, your"
            " access, and that the model was pushed there (dvc push)"
        ) from None
    finally:
        clean_repos()  # otherwise DVC keeps its clones of Git repositories


def _reasons(e: BaseException | None) -> Iterator[str]:
    """Yield the messages of an error and its causes."""
    while e is not None:
        yield " ".join(str(e).split()) or type(e).__name__
        e = e.__cause__ or e.__context__


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
