"""Data of their own for the tables of docs/: a folder in which the data stages run with other parameters."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from pipeline import dataset
from pipeline.dataset import Dataset
from pipeline.errors import UserError
from pipeline.params import ROOT, Params

STAGES = ("clips", "download", "wav", "spectrogram", "frames", "faces", "split", "statistics")


def data(folder: Path, params: Params) -> Dataset:
    """Run the data stages in `folder` with `params`, and load what they made. Stages that were run before
    with the same find nothing to do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / params.data.folder).mkdir(parents=True, exist_ok=True)
    content = yaml.safe_dump(params.model_dump(), sort_keys=False)
    (folder / "params.yaml").write_text(content, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for stage in STAGES:
        done = subprocess.run(
            [sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=os.environ | {"PYTHONPATH": path}
        )
        if done.returncode:
            raise UserError(f"{folder}: the stage {stage} failed there: see above")
    return dataset.load(folder / "data", params.audio, params.video, params.input)
