"""`dvc exp run` in a clone: interrupted and resumed, compared, applied."""

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from testing.project import ROOT, Project, wait_until

EPOCHS = 30
NAME = ("-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture(scope="module")
def committed_project(finished_project, tmp_path_factory) -> Project:
    """Make a Git repository of a finished pipeline, with everything committed."""
    project = finished_project.copy(tmp_path_factory.mktemp("committed") / "project")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    (project / ".gitignore").write_text(f"{ignored}/last_lines/\n/trace/\n")
    (project / "videos/README.md").touch()  # Git keeps no empty folders
    project.run_command("git", "init", "--quiet", "--initial-branch=main")
    project.run_command("dvc", "init", "--quiet")
    project.run_command("dvc", "commit", "--force", "--quiet")
    project.run_command("git", "add", "--all")
    project.run_command("git", *NAME, "commit", "--quiet", "--message", "x")
    return project


def exp_run(project: Project, *flags: str) -> tuple[int, str]:
    """Run `dvc exp run` with flags; return its exit status and output."""
    process = project.start("dvc", "exp", "run", *flags)
    out, err = process.communicate(timeout=240)
    return process.returncode, out + err


def start_and_wait_for(text: str, project: Project, *flags: str) -> tuple[subprocess.Popen, str]:
    """Start `dvc exp run` with flags. Return it and the line with `text` as soon as that is printed."""
    process = project.start("dvc", "exp", "run", *flags)
    for line in process.stdout:
        if text in line:
            return process, line
    pytest.fail(f"no {text}: {process.communicate()}")


@pytest.fixture
def project(committed_project, tmp_path) -> Project:
    yield committed_project.copy(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")


FLAGS = ("-S", f"train.epochs={EPOCHS}", "--single-item", "train")


def resumed_epoch(output: str) -> int:
    """Return the epoch after which training resumed."""
    assert (match := re.search(r"train: resuming after epoch (\d+) of \d+", output)), output
    return int(match[1])


def test_every_command_resumes_an_interrupted_training(project, tmp_path):
    process, _ = start_and_wait_for("epoch 12 of", project, *FLAGS)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    [checkpoint] = (project / "resume").iterdir()
    copy = project.copy(tmp_path / "a copy")  # of the workspace
    assert resumed_epoch(copy.run_command("dvc", "repro", "train")) >= 12
    shutil.copytree(project / "resume", tmp_path / "resume")
    code, output = exp_run(project, "--temp", *FLAGS)
    assert code == 0, output
    assert resumed_epoch(output) >= 12
    assert not checkpoint.exists() and not [*(project / "resume").iterdir()]
    shutil.copytree(tmp_path / "resume", project / "resume", dirs_exist_ok=True)
    code, output = exp_run(project, "--force", *FLAGS)
    assert code == 0, output
    assert resumed_epoch(output) >= 12
    for name in ("model.safetensors", "config.json"):
        assert (project / "checkpoints" / name).read_bytes() == (copy / "checkpoints" / name).read_bytes()
    shutil.rmtree(copy.root)


def test_a_training_ends_with_its_dvc_and_is_resumed(project, monkeypatch):
    """After a kill -9 of DVC alone the stage would run on, beside what the same command starts again.

    DVC runs stages by the user's shell: some replace themselves by the stage, some stay as its parent.
    """
    # So many epochs that a fast machine does not end before it is stopped.
    flags = ("-S", "train.epochs=10000", "--single-item", "train")
    for shell, awaited in (("sh", "epoch 12 of"), ("bash", "resuming after epoch")):
        monkeypatch.setenv("SHELL", shutil.which(shell))
        process, line = start_and_wait_for(awaited, project, *flags)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive and len([*(project / "resume").glob("train-*.ckpt")]) == 1
    assert resumed_epoch(line) >= 12


def test_the_same_command_resumes_a_killed_data_stage(project):
    flags = ("-S", "data.ensemble.clips=64", "-S", "data.ensemble.seed=1", "download")
    process = project.start("dvc", "exp", "run", *flags)

    def shards() -> list[Path]:
        return [*(project / "resume").glob("download-*/0*.index.parquet")]

    wait_until(lambda: len(shards()) >= 4 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    n_finished = len(shards()) * 8
    assert 32 <= n_finished < 64
    time.sleep(0.2)  # workers end with their parent
    _, output = exp_run(project, *flags)
    [n_new] = re.findall(r"download: 64 clips in, 64 ok; (\d+) made", output)
    assert int(n_new) <= 64 - n_finished and not [*(project / "resume").iterdir()]


def test_experiments_are_compared_applied_and_left(project):
    for flags in (("-S", "loss=triplet"), ("-S", "loss=infonce", "-S", "task=classification")):
        code, output = exp_run(project, *flags, "evaluate")
        assert code == 0, output
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^    dvc exp show .*--keep '(.+?)' (.+)$", page, re.MULTILINE)
    command = ("dvc", "exp", "show", "--drop", ".*", "--keep", line[0], *line[1].split())
    table = [*csv.DictReader(io.StringIO(project.run_command(*command, "--csv")))]
    assert table[0].keys() == {"Experiment", "correspondence.accuracy", "correspondence.auc", "loss"}
    triplet = next(
        r for r in table if r["loss"] == "triplet" and r["Experiment"] not in ("workspace", "main")
    )
    assert float(triplet["correspondence.auc"]) > 0 and len(table) == 4
    # An applied experiment leaves nothing to run.
    names = project.run_command("dvc", "exp", "list", "--name-only").split()
    for name in names:
        project.run_command("dvc", "exp", "apply", name)
        assert "up to date" in project.run_command("dvc", "status", "--with-deps", "evaluate")
        assert not re.search(r"^\?\?", project.run_command("git", "status", "--short"), re.MULTILINE)
    project.run_command("git", "restore", ".")
    project.run_command("dvc", "repro", "evaluate")
    assert "up to date" in project.run_command("dvc", "status", "--with-deps", "evaluate")


def test_a_missing_folder_is_one_line(project):
    code, output = exp_run(project, "-S", "data.source=folder", "-S", "data.folder=/not/there")
    assert code and "ERROR: /not/there: no such folder: make it and put videos there" in output
    assert "Errno" not in output and "Traceback" not in output
    assert "folder: /not/there" in Path(project / "params.yaml").read_text()  # as docs/experiments.md says


def test_a_folder_with_a_space_and_brackets(project):
    videos = project.root.parent / "my holiday videos (2)"
    videos.mkdir()
    code, output = exp_run(project, "-S", "data.source=folder", "-S", f"data.folder='{videos}'")
    assert (
        code
        and "clips: ERROR: " not in output
        and "no video, sound or picture files in this folder" in output
    )
