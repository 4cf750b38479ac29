"""Data of a study's own: a folder in which the stages before training run with the study's parameters."""

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
    """Return the stages before any training: `source` to `statistics`, and all between in dvc.yaml."""
    return tuple(takewhile(lambda name: name != "pretrain", stage_names(root)))


def load(folder: Path, params: Params) -> Dataset:
    """Run the stages before training in `folder`, and load what they made.

    What an earlier run made from the same parameters is not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / params.data.folder).mkdir(parents=True, exist_ok=True)
    content = yaml.safe_dump(params.model_dump(), sort_keys=False)
    (folder / "params.yaml").write_text(content, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # In a process of their own: their workers need not import what models do.
    command, env = [sys.executable, "-m", "experiments.study_data"], os.environ | {"PYTHONPATH": path}
    if subprocess.run(command, cwd=folder, env=env).returncode:
        raise UserError(f"{folder}: a data stage failed there: see above")
    return dataset.load(folder / "data", params.audio, params.video, params.input)


if __name__ == "__main__":
    from pipeline.cli import run

    for name in stages():
        run(getattr(importlib.import_module(f"stages.{name}"), name))
