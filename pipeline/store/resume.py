"""Unfinished work that an interrupted stage resumes from: finished shards, and checkpoints of trainings.

It is stored in `resume/` of the project and not among the outputs of stages. `dvc exp run` checks out the
outputs by force before it runs anything, which would delete it, and `dvc exp run --temp` and `dvc queue` work
in copies of the project that they delete.
"""

import os
import shutil
import time
from pathlib import Path

FOLDER = "resume"
MAX_AGE = 14 * 86_400.0  # s after which unfinished work is deleted
MAX_TEMPORARY_AGE = 3600.0  # s after which a temporary file is deleted: a killed process left it


def prepare(name: str) -> Path:
    """Create `resume/` if necessary, delete old files in it, and return the path of `name` in it."""
    folder = _project_folder() / FOLDER
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # another process deleted it
            continue
        if age > (MAX_TEMPORARY_AGE if path.suffix == ".tmp" else MAX_AGE):
            delete(path)
    return folder / name


def delete(path: Path) -> None:
    """Delete a file or folder. Another process may delete it at the same time."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _project_folder() -> Path:
    """Return the project's folder; in a copy by DVC, the original project, which DVC_ROOT names."""
    return Path(os.environ.get("DVC_ROOT") or ".")
