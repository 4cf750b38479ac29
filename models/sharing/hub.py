"""Models on Hugging Face: a folder up, and back down. Every fault is one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.errors import UserError

REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


class NotThere(UserError):
    """No such repository, or none that may be seen."""


def check(repo: str) -> None:
    """Raises UserError where `repo` cannot be one."""
    if not REPO.fullmatch(repo):
        raise UserError(f"--push {repo}: USER/REPO is expected, as on Hugging Face")


def push(folder: str | Path, repo: str, private: bool) -> str:
    """Make `repo` where it is not there, upload the folder, and return its address.

    Files of an earlier export that this one has not are deleted there. Raises UserError.
    """
    with _told(repo):
        api = HfApi()
        address = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="Earsight export", delete_patterns="*.onnx*"
        )
    return str(address)


def pull(repo: str, revision: str | None, files: tuple[str, ...]) -> Path:
    """The folder that holds these files of `repo`, and no others. Raises UserError."""
    with _told(repo, revision):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(files)))


@contextmanager
def _told(repo: str, revision: str | None = None) -> Iterator[None]:
    """Errors of the hub as one line: what, where, and what to do."""
    where = f"{repo} at {constants.ENDPOINT}"
    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"{where}: is gated: ask for access on its page, then log in: hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{where}: has no revision {revision}") from None
    except RepositoryNotFoundError:
        raise NotThere(f"{where} is not there, or private: log in with hf auth login") from None
    except HFValidationError as e:
        raise UserError(" ".join(str(e).split())) from None
    except Exception as e:  # of the network, the cache, the storage: each has its own
        raise UserError(f"{where}: {_why(e)}") from None


def _why(e: BaseException) -> str:
    # What the library says of a failed request stands behind what it was doing then.
    while e.__cause__ is not None and isinstance(e, (LocalEntryNotFoundError, RuntimeError)):
        e = e.__cause__
    if isinstance(e, OfflineModeIsEnabled):
        return "not in the cache, and HF_HUB_OFFLINE forbids to ask: load it once with a network"
    if isinstance(e, HfHubHTTPError):
        status = e.response.status_code
        if status in (401, 403):
            return f"refused ({status}): log in with a token that may do this: hf auth login"
        return f"the server answers {status}" + (f": {e.server_message}" if e.server_message else "")
    said = " ".join(str(e).split())[:200]
    return f"{type(e).__name__}: {said}: check the network, HF_ENDPOINT if it is set, and the disk's room"
