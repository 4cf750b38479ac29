"""Data of a study: in a folder of its own, the stages before training run with the study's parameters.

python -m experiments.study_data  # run these stages in the current folder
"""

import importlib
import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import yaml

from pipeline.config import ROOT, Params, stage_names
from pipeline.dataset import dataset
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


def stages(root: Path = ROOT) -> tuple[str, ...]:
    """Return the stages before any training, in the order of dvc.yaml: `source` to `statistics`."""
    return tuple(takewhile(lambda name: name != "pretrain", stage_names(root)))


def load(folder: Path, params: Params) -> Dataset:
    """Make the data of a study in `folder` if they are not there yet, and load them.

    The stages before training run there. Whatever an earlier run made from the same parameters is kept.
    Raises UserError if a stage fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / params.data.folder).mkdir(parents=True, exist_ok=True)
    content = yaml.safe_dump(params.model_dump(), sort_keys=False)
    (folder / "params.yaml").write_text(content, encoding="utf-8")
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # In a process of its own, whose workers do not need to import what models need.
    command = [sys.executable, "-m", "experiments.study_data"]
    process = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": python_path})
    if process.returncode:
        raise UserError(f"{folder}: a data stage failed there: see above")
    return dataset.load(folder / "data", params.audio, params.video, params.input, with_features=True)


if __name__ == "__main__":
    from pipeline.cli import run

    for name in stages():
        run(getattr(importlib.import_module(f"stages.{name}"), name))
