"""A model from wherever it is: a folder, a project, a Git repository with DVC, or Hugging Face.

from earsight import load
model = load("user/bells")  # or "dist/bells", "../project", "https://example.org/project.git"
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from models import checkpoint
from models.checkpoint import CONFIG, FORMAT, WEIGHTS
from models.inference.file_model import FileModel
from models.sharing import hub
from models.version import VERSION
from pipeline.errors import UserError

MODEL = "checkpoints"  # of a project
# All that is ever fetched or opened: JSON and safetensors, nothing that is unpickled.
FILES = (CONFIG, WEIGHTS)
GIT = re.compile(r"(https?|ssh|git|file)://.+|[\w.-]+@.+|.+\.git/?")
KEYS = ("task", "input", "modality", "encoders", "train", "inputs", "audio_shape", "video_shape")


def load(place: str | Path, revision: str | None = None) -> FileModel:
    """The model at `place`, to be asked with files.

    place: a folder with config.json and model.safetensors, as `make export` writes it; a project, whose
    `checkpoints` are meant; the URL of a project in Git, whose `checkpoints` DVC fetches; or a model on
    Hugging Face, `user/name`. What is a folder here is taken for one. revision: of Git or Hugging Face, a
    branch, a tag or a commit.
    Raises UserError where there is no model, where it cannot be fetched, and where it is of another version.
    """
    name = str(place)
    folder = Path(name).expanduser()
    project = (folder / "dvc.yaml").is_file()
    if (folder / CONFIG).is_file() or (project and revision is None):
        if revision is not None:
            raise UserError(f"revision {revision}: {name} is a folder, and has none: leave it out")
        return _opened(folder if (folder / CONFIG).is_file() else folder / MODEL, name)
    if project or GIT.fullmatch(name):
        with tempfile.TemporaryDirectory() as aside:
            _fetch(str(folder) if project else name, revision, Path(aside))
            return _opened(Path(aside), name)
    if folder.is_dir():
        raise UserError(f"{name}: no model in this folder: {' and '.join(FILES)} are expected, or a project")
    kinds = "neither a folder with a model, nor the URL of a project in Git, nor user/name on Hugging Face"
    if not hub.REPO.fullmatch(name):
        raise UserError(f"{name}: there is nothing: {kinds}")
    try:
        return _opened(hub.pull(name, revision, FILES), name)
    except hub.NotThere as e:
        raise UserError(f"{name}: {kinds} ({e})") from None


def _fetch(url: str, revision: str | None, folder: Path) -> None:
    """Both files of a project's checkpoints, from Git or from DVC's remote storage."""
    from dvc.api import DVCFileSystem  # half a second, which others need not wait for
    from dvc.repo.open_repo import clean_repos

    try:
        files = DVCFileSystem(url, rev=revision)
        for name in FILES:
            files.get_file(f"{MODEL}/{name}", str(folder / name))
    except Exception as e:  # Git, DVC and each kind of storage have their own
        at = f" at revision {revision}" if revision else ""
        why = "; ".join(dict.fromkeys(_reasons(e)))[:200]
        raise UserError(
            f"{url}{at}: its {MODEL} cannot be fetched ({why}): check the URL, the revision, your access, and"
            " that the model was pushed there (dvc push)"
        ) from None
    finally:
        clean_repos()  # DVC's clones, which it keeps otherwise


def _reasons(e: BaseException | None) -> Iterator[str]:
    """What an error says, and those behind it."""
    while e is not None:
        yield " ".join(str(e).split()) or type(e).__name__
        e = e.__cause__ or e.__context__


def _opened(folder: Path, name: str) -> FileModel:
    """The model in `folder`; an error calls it `name`, and says which version it is of."""
    for file in FILES:
        if not (folder / file).is_file():
            raise UserError(
                f"{name}: no model there: {file} is missing: train (dvc repro), or export it again"
            )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"{name}: {CONFIG} cannot be read ({' '.join(str(e).split())[:100]})") from None
    version = config.get("version") if isinstance(config, dict) else None
    if version == VERSION:
        todo = f"Earsight {version} wrote it, which this is: fetch or export it again"
    else:
        wrote = f"Earsight {version} wrote it" if version else "what wrote it does not say its version"
        todo = f"{wrote}, this is {VERSION}: load it with that version, or train and export it again"
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{name}: {CONFIG} is not of format {FORMAT}: {todo}")
    if lacking := [key for key in KEYS if key not in config]:
        raise UserError(f"{name}: {CONFIG} has no {lacking[0]}: {todo}")
    try:
        return FileModel(checkpoint.load(folder))
    except Exception as e:  # what a foreign configuration makes of a network
        why = str(e).removesuffix(": train it again").removeprefix(f"{folder}: ")
        raise UserError(f"{name}: {' '.join(why.split()) or type(e).__name__}: {todo}") from None
