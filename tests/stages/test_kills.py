"""`kill -9` in data stages and in training, under `dvc repro`; fifty: python -m benchmarks.kills.

In each data stage, without DVC: test_failures.
"""

import random
from typing import Any

from testing.kills import differences, init_dvc, run_with_kills
from testing.preloaded_process import PreloadedProcess
from testing.project import FOLDERS, STAGES, Project

# s that a stage takes on an idle machine, at least: a kill comes within that time.
LASTS = dict.fromkeys(STAGES, 0.5) | {"download": 2.0, "train": 2.5}
AIMS = ["download", "frames", "train"]
TARGETS = tuple(stage for stage in FOLDERS if not stage.endswith("_towers")) + ("train",)


class Started(Project):
    """Whose DVC has been imported already; the stages that it begins have not."""

    def start(self, *command: str, **more: Any) -> PreloadedProcess:
        return PreloadedProcess(self.root, [*command], **more)


def test_kills_change_nothing(finished_project, tmp_path):
    project = init_dvc(Started.new(tmp_path / "project", **{"towers.audio": [], "towers.video": []}))
    rng = random.Random(0)
    kills = [*run_with_kills(project, AIMS, LASTS, rng, targets=TARGETS)]
    assert len(kills) == len(AIMS)
    folders = tuple(FOLDERS[stage] for stage in TARGETS[:-1])
    folders += ("data/faces", "pretrained", "checkpoints", "metrics/train")
    assert not differences(project, finished_project, folders)
