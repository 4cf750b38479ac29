"""Projects that run the studies at the smallest size."""

import shutil
from pathlib import Path

import pytest

from pipeline.config import stage_entry
from testing.project import CODE, ROOT, Project
from testing.projects import PEOPLE

GRID = "experiments/videosound_matching"
RETRIEVAL = "experiments/objects_that_sound"
PAIR = "cnn_small-cnn_avg-bce"
ARGUMENTS = ("--audio-encoder=cnn_small", "--video-encoder=cnn_avg", "--loss=bce")
# The stages that run on the project's data: folder, name.
STAGES = ((GRID, "grid"), (GRID, "leaderboard"), (RETRIEVAL, "retrieval"))


def run_study(project: Project, system: str, study: dict, data: Path | None = None) -> Project:
    """Run a study with other settings; data: the finished data of a study on data of its own."""
    folder = f"experiments/{system}"
    project.set(study, f"{folder}/study.yaml")
    if data:
        shutil.copytree(data, project / folder / "data/data")
    project.run(f"experiments.{system}.study")
    return project


def people_settings(**others) -> dict:
    """Return the settings of a study on the people of `people_project`."""
    return PEOPLE | {"task": "classification", "split.val": 0.2, "split.test": 0.34} | others


@pytest.fixture(scope="session")
def studies_project(make_once, finished_project, tmp_path_factory) -> Project:
    """Run the studies on the data of `finished_project`, each stage in a folder with only its dependencies.

    `trace/<stage>` lists what a stage reads, `last_lines/<stage>` has the last line that it prints.
    """

    def make(root: Path) -> Project:
        project = finished_project.copy(root)
        encoders = {"audio_encoder": ["cnn_small"], "video_encoder": ["cnn_avg"]}
        grid = {"grid": encoders | {"loss": ["bce"]}, "leaders": 1, "seeds": [1], "set": {"train.epochs": 2}}
        project.set(grid, f"{GRID}/study.yaml")
        project.set({"seeds": [0], "set": {"train.epochs": 2}}, f"{RETRIEVAL}/study.yaml")
        for folder, stage in STAGES:
            _run_stage_alone(project, folder, stage, tmp_path_factory.mktemp(stage) / "project")
        return project

    return make_once("studies", make)


def _run_stage_alone(project: Project, folder: str, stage: str, root: Path) -> None:
    entry = stage_entry(stage, ROOT / folder)
    for name in CODE:
        shutil.copytree(project / name, root / name, ignore=shutil.ignore_patterns("metrics.json"))
    for study in (GRID, RETRIEVAL):
        for name in ("models", "metrics"):
            shutil.rmtree(root / study / name, ignore_errors=True)
    shutil.copy(project / "params.yaml", root)
    for name in entry["deps"]:
        source = (project / folder / name).resolve()
        target = root / source.relative_to(project.root.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    sandbox_project, module = Project(root), f"{folder.replace('/', '.')}.{stage}"
    arguments = ARGUMENTS if stage == "grid" else ()
    last_line = sandbox_project.run(module, *arguments, trace=(project / "trace" / stage).resolve())
    (project / "last_lines" / stage).write_text(last_line)
    outs = [f"{folder}/{next(iter(out))}" for out in entry["outs"]]
    for old, new in (("${item.audio}", "cnn_small"), ("${item.video}", "cnn_avg"), ("${item.loss}", "bce")):
        outs = [out.replace(old, new) for out in outs]
    for out in [*outs, f"{folder}/README.md"]:
        (project / out).parent.mkdir(parents=True, exist_ok=True)
        (project / out).unlink(missing_ok=True)
        shutil.move(sandbox_project / out, project / out)


@pytest.fixture(scope="session")
def dvc_project(studies_project, tmp_path_factory) -> Project:
    """A copy of `studies_project` in which DVC finds all stages up to date, also in experiments/."""
    project = studies_project.copy(tmp_path_factory.mktemp("dvc") / "project")
    project.run("experiments.code_digests")
    project.run_command("dvc", "init", "--no-scm", "--quiet")
    project.run_command("dvc", "--cd", "experiments", "config", "core.no_scm", "true")
    project.run_command("dvc", "commit", "--force", "--quiet")
    for folder in ("experiments", GRID, RETRIEVAL):
        project.run_command("dvc", "--cd", folder, "commit", "--force", "--quiet", "dvc.yaml")
    return project
