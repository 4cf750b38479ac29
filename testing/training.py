"""What tests of training share: experiments, trainings in processes of their own, and their files."""

import json
from pathlib import Path

from models.training.experiment import configure_pretraining
from testing import toy
from testing.preloaded_process import PreloadedProcess
from testing.project import ROOT

CHANCY = toy.PARAMS.classification.model_dump() | {"dropout": 0.4, "mixup": 0.4, "mixup_rate": 0.5}
EXPERIMENTS = {  # without chance in the network itself, and with it
    "matching": toy.experiment(),
    "classification": toy.experiment(task="classification", classification=CHANCY),
    "pretraining": configure_pretraining(
        toy.PARAMS.override({"task": "pretraining", "encoders.joint.cav_mae": {"patch": 8, "width": 16}})
    ),
}


def start(folder, out, precision="32-true", env=None, **more):
    """Train in a process of its own, without the time that imports take."""
    return PreloadedProcess(ROOT, ["testing.toy", str(folder), str(out), precision, json.dumps(more)], env)


def files(folder: Path) -> list[str]:
    """The paths of all files in a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def same_files(a, b, names):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names)
