"""Upload models and data sets to Hugging Face, and download models. Every error message is one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

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


class RepositoryNotFound(UserError):
    """There is no such repository, or the user has no access to it."""


def check_repository_name(repo: str) -> None:
    """Raise UserError if `repo`, the value of --push, is not of the form USER/REPO."""
    if not REPO.fullmatch(repo):
        raise UserError(f"--push {repo}: must be USER/REPO, as on Hugging Face")


def push(folder: str | Path, repo: str, private: bool, kind: Literal["model", "dataset"] = "model") -> str:
    """Upload an exported model or a packed data set to Hugging Face. Returns the URL of the repository.

    folder: what is uploaded, without hidden files. repo: USER/REPO; it is created if it does not exist, with
    or without access for others (`private`). ONNX files of an earlier export, or shards of an earlier pack,
    that this one lacks are deleted there.
    Raises UserError if it cannot be uploaded, or should be private and the repository is public.
    """
    with _one_line_errors(repo):
        api = HfApi()
        url = api.create_repo(repo, private=private or None, exist_ok=True, repo_type=kind)
        if private and api.repo_info(repo, repo_type=kind).private is False:
            raise UserError(f"{repo}: exists and is public: choose another name, or make it private there")
        api.upload_folder(
            repo_id=repo,
            repo_type=kind,
            folder_path=folder,
            commit_message=f"Earsight {'export' if kind == 'model' else 'data set'}",
            ignore_patterns=[".*"],
            delete_patterns="*.onnx*" if kind == "model" else "data/*",
        )
    return str(url)


def pull(repo: str, revision: str | None, files: tuple[str, ...]) -> Path:
    """Download some files of the repository USER/REPO from Hugging Face, and no others.

    revision: a branch, a tag or a commit; None: the newest. files: their names. Returns the folder with them.
    Raises UserError if they cannot be downloaded.
    """
    with _one_line_errors(repo, revision):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(files)))


@contextmanager
def _one_line_errors(repo: str, revision: str | None = None) -> Iterator[None]:
    """In this `with` block, replace each error of the hub by a UserError.

    Its message is one line: what is wrong, where, and what to do.
    """
    where = f"{repo} at {constants.ENDPOINT}"
    try:
        yield
    except UserError:
        raise
    except GatedRepoError:
        raise UserError(
            f"{where}: is gated: request access on its page, then log in: hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{where}: has no revision {revision}") from None
    except RepositoryNotFoundError:
        raise RepositoryNotFound(
            f"{where}: does not exist, or is private: log in with hf auth login"
        ) from None
    except HFValidationError as e:
        raise UserError(" ".join(str(e).split())) from None
    except Exception as e:  # network, cache and storage each have their own error classes
        raise UserError(f"{where}: {_describe(e)}") from None


def _describe(e: BaseException) -> str:
    """Say in one line why a request failed, and what to do."""
    # The library wraps the error of the request in one that only says what it tried to do.
    while e.__cause__ is not None and isinstance(e, (LocalEntryNotFoundError, RuntimeError)):
        e = e.__cause__
    if isinstance(e, OfflineModeIsEnabled):
        return "not in the cache, and HF_HUB_OFFLINE is set: unset it and load the model once"
    if isinstance(e, HfHubHTTPError):
        status = e.response.status_code
        if status in (401, 403):
            return f"refused ({status}): log in with a token that has this permission: hf auth login"
        return f"the server answers {status}" + (f": {e.server_message}" if e.server_message else "")
    message = " ".join(str(e).split())[:200]
    return f"{type(e).__name__}: {message}: check the network, HF_ENDPOINT if it is set, and the disk space"
