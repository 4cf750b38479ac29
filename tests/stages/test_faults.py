"""Full and read-only disks, a jumping clock, a cache of hard links: one error line, or the same bytes."""

import os
import shutil

import pytest

from testing.kills import cache_errors
from testing.permissions import obey_permissions
from testing.preloaded_process import PreloadedProcess
from testing.project import DATA_STAGES, FOLDERS, STAGES, Project
from testing.recordings import record, sine
from tests.stages.test_failures import count_new_clips, small_disk

FILE_SIZE_LIMIT = 'ulimit -f "$0" && exec "$@"'  # bash: no file may be larger than so many KiB


def delete_outputs(project: Project, stage: str) -> None:
    shutil.rmtree(project / FOLDERS[stage])


# --- full disks -----------------------------------------------------------------------------------------


# The other stages write arrays as `frames` does.
@pytest.mark.parametrize("stage", ["download", "wav", "frames"])
def test_a_file_size_limit_is_a_one_line_error(finished_project, project, stage, monkeypatch):
    """A limit, or a file system whose files end at 4 GiB: the error is not that of a full disk."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # `make coverage` writes files of its own
    delete_outputs(project, stage)
    project.prefix = ("bash", "-c", FILE_SIZE_LIMIT, "4")
    line = project.expect_error(stage)
    assert "File too large: make room" in line
    assert not project.hidden_files()
    project.prefix = ()
    project.run(stage)
    assert project.files(FOLDERS[stage]) == finished_project.files(FOLDERS[stage])


@pytest.mark.parametrize("stage", ["download", "wav", "frames"])
def test_a_full_disk_in_the_stages_that_write_media(finished_project, project, stage):
    with small_disk(project / FOLDERS[stage], "100k") as enlarge:
        assert "No space left on device" in project.expect_error(stage)
        assert not project.hidden_files()
        enlarge()
        assert 0 < count_new_clips(project.run(stage)) <= 40
        assert project.files(FOLDERS[stage]) == finished_project.files(FOLDERS[stage])


@pytest.mark.parametrize(
    ("stage", "folder", "size"),
    [("index", "data/embeddings", "8k"), ("index", "data/index", "4k"), ("report", "report", "64k")],
)
def test_a_full_disk_after_training(finished_project, project, stage, folder, size):
    with small_disk(project / folder, size) as enlarge:
        assert "No space left on device: make room" in project.expect_error(stage)
        enlarge()
        project.run(stage)
        assert project.files(folder) == finished_project.files(folder)


# --- read-only folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "folder"), [("clips", "data"), ("wav", "data"), ("frames", "data/frames"), ("split", "data")]
)
def test_a_read_only_folder_is_a_one_line_error(project, stage, folder):
    if stage == "frames":
        for path in (project / folder).iterdir():  # a shard is missing, and cannot be made
            path.unlink()
    elif stage == "wav":
        shutil.rmtree(project / "data/wav")
    (project / folder).chmod(0o555)
    project.prepare = obey_permissions
    try:
        line = project.expect_error(stage)
    finally:
        (project / folder).chmod(0o755)
    assert "Permission denied: allow" in line and folder in line


# --- the clock ------------------------------------------------------------------------------------------

JUMPING_CLOCK = """
import runpy, sys, time
now = [2e9]
def back():
    now[0] -= 3600.0
    return now[0]
time.time = back
time.time_ns = lambda: int(back() * 1e9)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def test_a_clock_that_jumps_back_changes_nothing(finished_project, project, tmp_path):
    (tmp_path / "clock.py").write_text(JUMPING_CLOCK)
    for stage in DATA_STAGES:
        delete_outputs(project, stage)
    for folder in ("checkpoints", "metrics/train"):
        shutil.rmtree(project / folder)
    for stage in (*DATA_STAGES, "train"):
        process = PreloadedProcess(project.root, [str(tmp_path / "clock.py"), f"stages.{stage}"])
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and not err, out + err
    for folder in (*FOLDERS.values(), "checkpoints", "metrics/train"):
        assert project.files(folder) == finished_project.files(folder)


def test_file_times_are_not_used(project):
    """A wrong clock leaves wrong file times: no stage reads them."""
    for path in (project / "data").rglob("*"):
        os.utime(path, (4e9, 4e9) if path.suffix == ".npy" else (1, 1))
    for stage in DATA_STAGES:
        assert project.run(stage).endswith("; 0 made, nothing to do")


def test_a_video_replaced_by_an_older_one_is_processed_again(tmp_path):
    project = Project.new(tmp_path / "project", **{"data.source": "folder"})
    for name, pitch in (("a", 300), ("b", 500)):
        record(project / f"videos/{name}.flv", frames=45, sound=sine(1.5, pitch))
    for stage in ("clips", "download", "wav"):
        project.run(stage)
    record(project / "videos/a.flv", frames=45, sound=sine(1.5, 700))
    os.utime(project / "videos/a.flv", (1e9, 1e9))
    for stage in ("download", "wav"):
        assert count_new_clips(project.run(stage)) == 1


# --- hard links -----------------------------------------------------------------------------------------


def test_no_stage_changes_a_hard_linked_file_of_the_cache(dvc_project, tmp_path):
    """With cache.type hardlink, outputs share files with DVC's cache: stages write new files instead."""
    project = dvc_project.copy(tmp_path / "project")
    for words in (["config", "cache.type", "hardlink"], ["checkout", "--relink", "--force", "--quiet"]):
        _, err = PreloadedProcess(project.root, ["dvc", *words]).communicate(timeout=120)
        assert not err
    linked = [p for p in project.root.rglob("*") if p.is_file() and p.stat().st_nlink > 1]
    folders = {p.relative_to(project.root).parts[0] for p in linked}
    if not linked:
        pytest.skip("no hard links here")
    assert {"data", "checkpoints", "report"} <= folders and not cache_errors(project)
    project.set({"data.ensemble.seed": 1, "train.epochs": 1, "audio.n_mels": 20})
    for stage in STAGES:
        project.run(stage)
    assert not cache_errors(project)


def test_dvc_restores_hard_linked_outputs(dvc_project, tmp_path):
    """DVC reruns a stage; then its previous outputs are restored intact."""
    project = dvc_project.copy(tmp_path / "project")
    before = project.files("data/spectrogram")
    project.run_command("dvc", "config", "cache.type", "hardlink")
    project.run_command("dvc", "checkout", "--relink", "--force", "--quiet")
    params, lock = (project / "params.yaml").read_text(), (project / "dvc.lock").read_text()
    project.set({"audio.n_mels": 20})
    project.run_command("dvc", "repro", "--no-run-cache", "--single-item", "spectrogram")
    assert not cache_errors(project) and project.files("data/spectrogram") != before
    (project / "params.yaml").write_text(params)
    (project / "dvc.lock").write_text(lock)
    project.run_command("dvc", "checkout", "--force", "--quiet", "spectrogram")
    assert project.files("data/spectrogram") == before
