"""What dvc.yaml says of a stage, and a folder in which there are no other data."""

import shutil
from pathlib import Path

from pipeline.config import stage_entry
from testing.project import CODE, Project

# Code that says where, when and for whom a stage runs, and what is written to be read: no stage lists it.
NEUTRAL = ("pipeline/cli", "pipeline/config", "pipeline/engine", "pipeline/errors")
NEUTRAL += ("pipeline/sources/__init__",)  # the names of sources


def code(stage: str) -> list[str]:
    """The folders and files of code that dvc.yaml lists for a stage."""
    return [d for d in stage_entry(stage)["deps"] if d.partition("/")[0] in CODE]


def sandbox(whole: Project, stage: str, root: Path) -> tuple[Project, list[str]]:
    """A folder with the deps of a stage, taken from `whole`; and its outs."""
    about = stage_entry(stage)
    (root / "videos").mkdir(parents=True)
    for folder in CODE:
        shutil.copytree(whole / folder, root / folder)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(whole / name, root / name)
    for name in about["deps"]:
        if name.startswith(("data/", "metrics/", "checkpoints", "pretrained")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (whole / name).is_dir() else shutil.copy
            copy(whole / name, root / name)
    return Project(root), outs(stage)


def outs(stage: str) -> list[str]:
    """Return the paths of the outs and the metrics of a stage."""
    entry = stage_entry(stage)
    return [o if isinstance(o, str) else next(iter(o)) for o in [*entry["outs"], *entry.get("metrics", [])]]
