"""Helpers of tests of training: experiments, training in a process of its own, comparing its files."""

import json
from pathlib import Path

from models.training.experiment import configure_pretraining
from models.training.recorder import Recorder
from testing import toy
from testing.preloaded_process import PreloadedProcess
from testing.project import ROOT

CLASSIFICATION_WITH_CHANCE = toy.PARAMS.classification.model_dump() | {
    "dropout": 0.4,
    "mixup": 0.4,
    "mixup_rate": 0.5,
}
EXPERIMENTS = {  # without random layers in the network, and with them
    "matching": toy.experiment(),
    "classification": toy.experiment(task="classification", classification=CLASSIFICATION_WITH_CHANCE),
    "pretraining": configure_pretraining(
        toy.PARAMS.override({"task": "pretraining", "encoders.joint.cav_mae": {"patch": 8, "width": 16}})
    ),
}


def start_training(folder, out, precision="32-true", env=None, **options):
    """Start training in a process of its own whose imports are done."""
    return PreloadedProcess(ROOT, ["testing.toy", str(folder), str(out), precision, json.dumps(options)], env)


def stop_after(monkeypatch, epoch: int) -> None:
    """Raise an error after the checkpoint of an epoch, counted from 1, is written."""
    save = Recorder._save_checkpoint

    def save_and_raise(self, trainer, epoch_number):
        self.last_save = self.save_seconds = 0.0
        save(self, trainer, epoch_number)
        if epoch_number + 1 == epoch:
            raise RuntimeError("broken off")

    monkeypatch.setattr(Recorder, "_save_checkpoint", save_and_raise)


def list_files(folder: Path) -> list[str]:
    """Return the relative paths of all files in a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def same_files(a, b, names):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names)
