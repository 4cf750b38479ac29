"""A folder that a command writes for people: it is new or the command's own, and one process writes it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError


def prepare_output_folder(out: Path, state: str) -> None:
    """Create the folder `out` and the folder `state` in it, if they do not exist.

    state: a hidden folder, by which a later run knows its own output. Raises UserError if `out` is a file,
    contains files of something else, or cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: is a file: choose a new folder, or one of an earlier run")
        if out.is_dir() and not (out / state).is_dir() and any(out.iterdir()):
            raise UserError(f"{out}: contains other files: choose a new folder")
        (out / state).mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as e:
        raise UserError(f"{out}: cannot be written ({e.strerror}): choose another folder") from None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for the `with` block, or until the process ends.

    Raises UserError if another process has locked it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{folder}: another process writes there: wait until it has finished") from None
    finally:
        os.close(descriptor)
