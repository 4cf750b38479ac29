"""Stages that fail or are killed print one line, lose nothing, and the next run resumes."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.preloaded_process import PreloadedProcess
from testing.project import DATA_STAGES, FOLDERS, Project, wait_until

# The status of each damaged file in download (which decodes nothing), in wav and in frames.
EXPECTED_STATUSES = {
    "good-1": ("ok", "ok", "ok"),
    "good-2": ("ok", "ok", "ok"),
    "truncated": ("ok", "ok", "ok"),  # its first half is valid
    "header": ("ok", "corrupt", "corrupt"),
    "empty": ("corrupt", "corrupt", "corrupt"),
    "random": ("ok", "corrupt", "corrupt"),
    "folder": ("unreadable", "unreadable", "unreadable"),
    "locked": ("unreadable", "unreadable", "unreadable"),
    "vanishes-after-clips": ("unreadable", "unreadable", "unreadable"),
    "vanishes-after-download": ("ok", "unreadable", "unreadable"),
    "playlist": ("ok", "refused", "refused"),
    "concat": ("ok", "refused", "refused"),
}


def test_every_damaged_file_has_a_row_with_a_status(damaged_videos_project):
    tables = [damaged_videos_project.rows(f"{t}/index.parquet") for t in ("media", "wav", "frames")]
    statuses = [{r["clip_id"]: r["status"] for r in rows} for rows in tables]
    assert {clip: tuple(s[clip] for s in statuses) for clip in statuses[0]} == EXPECTED_STATUSES


def test_a_truncated_file_has_its_remaining_length(damaged_videos_project):
    seconds = {r["clip_id"]: r["seconds"] for r in damaged_videos_project.rows("wav/index.parquet")}
    assert 0.5 < seconds["truncated"] < 1.0 < seconds["good-1"] <= 1.5


# --- killed, interrupted --------------------------------------------------------------------------------


def restart_stage(project: Project, stage: str, shards: int) -> subprocess.Popen:
    """Delete the outputs of a stage, start it, and wait for its first shards."""
    folder = project / FOLDERS[stage]
    shutil.rmtree(folder)
    process = project.start_stage(stage)
    wait_until(lambda: len(list(folder.glob("0*.index.parquet"))) >= shards or process.poll() is not None)
    assert process.poll() is None, "done too soon"
    return process


@pytest.mark.parametrize("stage", DATA_STAGES)
def test_a_data_stage_resumes_after_kill_9(finished_project, project, stage):
    process = restart_stage(project, stage, shards=random.randint(0, 2))
    time.sleep(random.uniform(0, 0.1))
    process.kill()
    process.communicate()
    # Neither the kill nor the number of workers changes a byte.
    project.set({"engine.workers": 1})
    project.run(stage)
    assert project.files(FOLDERS[stage]) == finished_project.files(FOLDERS[stage])
    assert not project.hidden_files()


def test_a_data_stage_resumes_after_ctrl_c(finished_project, project):
    process = restart_stage(project, "download", shards=1)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode == 1
    assert not out and err.splitlines() == [
        "download: interrupted: what is finished is kept, run again to go on"
    ]
    assert not [p for p in project.hidden_files() if p.name != ".old"]
    assert 0 < count_new_clips(project.run("download")) < 40
    assert project.files("data/media") == finished_project.files("data/media")


def count_new_clips(line: str) -> int:
    return int(re.search(r"; (\d+) made", line)[1])


def test_training_resumes_after_ctrl_c_and_after_kill_9(finished_project, project):
    shutil.rmtree(project / "checkpoints")
    shutil.rmtree(project / "metrics/train")
    process = project.start_stage("train")
    read_until(process, "epoch 2 of")  # the first is on disk by now
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode == 1
    assert err.splitlines() == ["train: interrupted: what is finished is kept, run again to go on"]

    process = project.start_stage("train")
    read_until(process, "resuming after epoch")
    read_until(process, "epoch")
    process.kill()
    process.communicate()

    project.run("train")
    assert project.files("checkpoints") == finished_project.files("checkpoints")
    assert project.files("metrics/train") == finished_project.files("metrics/train")


def read_until(process: subprocess.Popen | PreloadedProcess, text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.communicate()}")


# --- a full disk ----------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str):
    """Mount a disk of this size in place of a folder; yield a function that enlarges it."""
    shutil.rmtree(folder)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=512m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_in_a_data_stage(finished_project, project):
    folder = "data/spectrogram"
    with small_disk(project / folder, "160k") as enlarge:
        assert f"{folder}: No space left on device" in project.expect_error("spectrogram")
        assert not project.hidden_files()
        expected = finished_project.files(folder)
        shards = {n: b for n, b in project.files(folder).items() if n != "index.parquet"}
        assert shards and shards.items() < expected.items()
        enlarge()
        assert 0 < count_new_clips(project.run("spectrogram")) < 40
        assert project.files(folder) == expected


def test_a_full_disk_in_training(finished_project, project):
    with small_disk(project / "checkpoints", "64k") as enlarge:
        assert "No space left on device" in project.expect_error("train")
        assert not project.files("checkpoints")
        enlarge()
        project.run("train")
        assert project.files("checkpoints") == finished_project.files("checkpoints")


# --- two at once ----------------------------------------------------------------------------------------


def test_two_simultaneous_runs_do_no_damage(finished_project, dvc_project, tmp_path):
    project = dvc_project.copy(tmp_path / "project")
    shutil.rmtree(project / "data/media")
    (project / ".dvc/cache").rename(project / ".dvc/gone")  # else DVC brings it back from there
    first = project.start_dvc("repro", "--no-run-cache", "--single-item", "download")
    read_until(first, "> python -m stages.download")
    second = project.start_dvc("repro", "--no-run-cache", "--single-item", "download")
    out, err = second.communicate(timeout=60)
    assert second.returncode != 0
    assert "Traceback" not in out + err and re.search(r"is busy|lock", out + err)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, out + err
    assert project.files("data/media") == finished_project.files("data/media")
