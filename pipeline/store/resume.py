"""Where the unfinished work of an interrupted stage is kept: finished shards, and checkpoints of trainings.

It is in the folder `resume/` of the project, and not among the outputs of the stage, for two reasons:
`dvc exp run` checks out all outputs by force before it runs anything, which would delete unfinished work;
`dvc exp run --temp` and `dvc queue` work in copies of the project that they delete.

Which clips are computed again is decided in pipeline/engine/clip_keys.py.
"""

import os
import shutil
import time
from pathlib import Path

FOLDER = "resume"
MAX_AGE = 14 * 86_400.0  # s after which unfinished work is deleted
MAX_TEMPORARY_AGE = 3600.0  # s after which a temporary file is deleted: a killed process left it


def prepare_path(name: str) -> Path:
    """Return the path for the unfinished work `name` in `resume/`; nothing may be there yet.

    Creates `resume/` if necessary, and deletes old files in it.
    """
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
    """Return the folder of the project; in a copy that DVC made of it, the folder of the original.

    DVC names that folder in the environment variable DVC_ROOT.
    """
    return Path(os.environ.get("DVC_ROOT") or ".")
