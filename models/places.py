"""Find a model: in a folder, in a project, in a Git repository with DVC, or on Hugging Face."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import hub
from models.checkpoint import CONFIG
from models.weights import WEIGHTS
from pipeline.errors import UserError

MODEL = "checkpoints"  # the folder of a project's model
# No other file is downloaded or opened. JSON and safetensors cannot run code, unlike pickles.
FILES = (CONFIG, WEIGHTS)
GIT_URL = re.compile(r"(https?|ssh|git|file)://.+|[\w.-]+@.+|.+\.git/?")


@contextmanager
def open_folder(place: str | Path, revision: str | None = None) -> Iterator[Path]:
    """Yield the folder with the files of a model. One that Git has exists only within the `with` block.

    place, revision: as in models.sharing.load.load.
    Raises UserError if there is no such place or revision, or if it cannot be downloaded.
    """
    name = str(place)
    if revision is None:
        name, revision = split_revision(name)
    folder = Path(name).expanduser()
    is_project = (folder / "dvc.yaml").is_file()
    if (folder / CONFIG).is_file() or (is_project and revision is None):
        if revision is not None:
            raise UserError(f"revision {revision}: {name} is a folder without revisions: leave it out")
        yield folder if (folder / CONFIG).is_file() else folder / MODEL
        return
    if is_project or GIT_URL.fullmatch(name):
        with tempfile.TemporaryDirectory() as temporary:
            _download(str(folder) if is_project else name, revision, Path(temporary))
            yield Path(temporary)
        return
    if folder.is_dir():
        raise UserError(f"{name}: no model in this folder: it needs {' and '.join(FILES)}, or a project")
    message = "neither a folder with a model, nor the URL of a project in Git, nor user/name on Hugging Face"
    if not hub.REPO.fullmatch(name):
        raise UserError(f"{name}: {message}")
    try:
        downloaded = hub.pull(name, revision, FILES)
    except hub.RepositoryNotFound as e:
        raise UserError(f"{name}: {message} ({e})") from None
    yield downloaded


def split_revision(place: str) -> tuple[str, str | None]:
    """Split `PLACE@REVISION` into both. The revision is None if there is none.

    The @ of an existing path, of `user@host:path` and of `https://user@host/path` separates no revision.
    """
    name, at, revision = place.rpartition("@")
    _, is_url, after_scheme = name.partition("://")
    is_user = ":" in revision or (bool(is_url) and "/" not in after_scheme)
    if not name or not revision or is_user or Path(place).expanduser().exists():
        return place, None
    return name, revision


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
