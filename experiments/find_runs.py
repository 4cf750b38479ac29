"""Find the predictions of trained models by name, for `python -m experiments compare`.

A name is one of:

- a file of predictions, or a folder with `predictions.parquet` or `metrics/predictions.parquet`: a project
  (`.` is this one), or the folder of a model; a folder of several of these is one model with several seeds;
- a model of a study, such as `identification/image_CNN`: also its other seeds, `image_CNN-0` and so on;
- a DVC experiment, or a Git revision of this project. DVC reads its predictions from the cache.

Names with commas between them are one model with several seeds.
"""

import io
import re
from pathlib import Path

import dvc.api
import pyarrow as pa
from dvc.exceptions import DvcException
from dvc.scm import SCMError

from experiments.study import FOLDER
from pipeline.errors import UserError
from pipeline.metrics import predictions
from pipeline.metrics.comparison import Run

PROJECT_FILE = f"metrics/{predictions.FILE}"
SEED = re.compile(r"-\d+$")  # at the end of the name of a study's model


def find_run(name: str) -> Run:
    """Find the predictions of a model. Raises UserError if there are none."""
    tables = [table for part in name.split(",") for table in _find_tables(part)]
    empty = next((table for table in tables if not len(table)), None)
    if empty is not None:
        raise UserError(f"{name}: its predictions are empty: nothing was tested")
    return Run(name, tables)


def _find_tables(name: str) -> list[pa.Table]:
    """Return the predictions of each seed of one name."""
    files = _files_in(Path(name)) or [file for path in _study_models(name) for file in _files_in(path)]
    return [predictions.read(file, str(file)) for file in files] or [_read_revision(name)]


def _files_in(path: Path) -> list[Path]:
    """Return the files of predictions at a path: itself, that of a project or model, or of several seeds."""
    if path.is_file():
        return [path]
    for pattern in (PROJECT_FILE, predictions.FILE, f"*/{predictions.FILE}"):
        if files := sorted(path.glob(pattern)):
            return files
    return []


def _study_models(name: str) -> list[Path]:
    """Return the folders of a study's models with the name `<system>/<model>`, or with a seed after it."""
    system, _, model = name.partition("/")
    if not re.fullmatch(r"\w+", system):
        return []
    folders = sorted(path.parent for path in (FOLDER / system / "models").rglob("config.json"))
    return [folder for folder in folders if model in (folder.name, SEED.sub("", folder.name))]


def _read_revision(name: str) -> pa.Table:
    """Read the predictions of a DVC experiment or Git revision. Raises UserError if there are none."""
    try:
        with dvc.api.open(PROJECT_FILE, rev=name, mode="rb") as file:
            content = file.read()
    except SCMError:
        raise UserError(
            f"{name}: no such folder, model of a study, experiment (dvc exp list -A) or Git revision"
            f" with {predictions.FILE}"
        ) from None
    except (DvcException, OSError) as e:
        reason = " ".join(str(e).split())[:200]
        raise UserError(
            f"{name}: has no {PROJECT_FILE} ({reason}): run dvc repro there, or dvc pull"
        ) from None
    return predictions.read(io.BytesIO(content), f"{name}: {PROJECT_FILE}")
