"""Unfinished work that an interrupted stage continues from: finished shards, and checkpoints of trainings.

It lies in `resume/` of the project and not among the outputs of stages. `dvc exp run` checks those out by
force before it runs anything, which would delete it, and `dvc exp run --temp` and `dvc queue` work in copies
of the project that they delete.
"""

import os
import shutil
import time
from pathlib import Path

FOLDER = "resume"
KEPT = 14 * 86_400.0  # s after which unfinished work that nobody continued is deleted
TORN = 3600.0  # s after which a temporary file was left by a process that was killed


def prepare(name: str) -> Path:
    """The path of `name` in `resume/`, which is made, and cleared of what is too old."""
    folder = _project() / FOLDER
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # another process finished it
            continue
        if age > (TORN if path.suffix == ".tmp" else KEPT):
            delete(path)
    return folder / name


def delete(path: Path) -> None:
    """Delete a file or folder that another process may be deleting too."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _project() -> Path:
    """The project's folder; in a copy that DVC made of it, that of the project itself, which DVC names."""
    return Path(os.environ.get("DVC_ROOT") or ".")
