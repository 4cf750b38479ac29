"""`kill -9` in the middle of `dvc repro`; fifty of them: python -m benchmarks.kills."""

import random
from typing import Any

from testing.kills import differences, init_dvc, run_with_kills
from testing.preloaded_process import PreloadedProcess
from testing.project import FOLDERS, Project

# s that each stage takes on an idle machine, at least: a kill comes within that time.
LASTS = {
    "clips": 0.6,
    "download": 2.0,
    "wav": 0.7,
    "spectrogram": 0.8,
    "frames": 0.7,
    "faces": 0.5,
    "split": 0.5,
    "statistics": 0.5,
    "pretrain": 0.5,
    "train": 2.5,
}
AIMS = ["download", "wav", "spectrogram", "frames", "train"]


class Started(Project):
    """Whose DVC has been imported already; the stages that it begins have not."""

    def start(self, *command: str, **more: Any) -> PreloadedProcess:
        return PreloadedProcess(self.root, [*command], **more)


def test_five_kills_change_nothing(finished_project, tmp_path):
    project = init_dvc(Started.new(tmp_path / "project"))
    rng = random.Random(0)
    kills = [*run_with_kills(project, AIMS, LASTS, rng, targets=("train",))]
    assert len(kills) == len(AIMS)
    folders = (*FOLDERS.values(), "data/faces", "pretrained", "checkpoints", "metrics/train")
    assert not differences(project, finished_project, folders)
