"""Run all stages in order: check their outputs, and that a new run recomputes only what changed."""

import json
import re
import shutil
import wave
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from testing.project import DATA_STAGES, FOLDERS, Project
from testing.recordings import record, sine

INDEXES = [f"{folder.removeprefix('data/')}/index.parquet" for folder in FOLDERS.values()]
DATA_AND_SPLIT = ("clips", "download", "wav", "spectrogram", "frames", "audio_quality", "video_quality")
DATA_AND_SPLIT += ("quality", "split")
RETRIEVAL = {"audio_to_video", "video_to_audio", "audio_to_audio", "video_to_video"}


@pytest.mark.parametrize("table", [*INDEXES, "quality.parquet", "splits.parquet"])
@pytest.mark.parametrize("project_fixture", ["finished_project", "damaged_videos_project"])
def test_every_table_has_a_row_for_each_clip(request, project_fixture, table):
    project = request.getfixturevalue(project_fixture)
    clips = [r["clip_id"] for r in project.rows("clips.parquet")]
    rows = project.rows(table)
    assert [r["clip_id"] for r in rows] == clips
    assert all(r["status"] == "ok" or r["detail"] for r in rows)


def test_every_clip_that_can_be_used_has_a_split(finished_project):
    rows = finished_project.rows("splits.parquet")
    assert {r["split"] for r in rows if r["status"] == "ok"} == {"train", "val", "test"}
    assert {r["split"] for r in rows if r["status"] != "ok"} == {None}


def test_a_second_run_has_nothing_to_do(finished_project):
    for stage in DATA_STAGES:
        before = shard_times(finished_project, stage)
        assert finished_project.run(stage).endswith("; 0 made, nothing to do")
        assert shard_times(finished_project, stage) == before


def test_edits_that_change_no_behaviour_recompute_nothing(project):
    """Comments, formatting, new components and new sources compute 0 clips and train nothing."""
    for folder in ("models", "pipeline"):
        for path in (project / folder).rglob("*.py"):
            path.write_text(f"{path.read_text()}\n# A comment.\n")
        project.run_command(
            "ruff", "format", "--quiet", "--config", "line-length = 70", str(project / folder)
        )
    for name in ("models/losses/bce", "models/audio/cnn_small", "pipeline/sources/voxceleb"):
        shutil.copy(project / f"{name}.py", project / f"{name}_2.py")
    for stage in DATA_STAGES:
        assert project.run(stage).endswith("; 0 made, nothing to do")
    checkpoint = (project / "checkpoints/model.safetensors").stat().st_mtime_ns
    curves = project.files("metrics/train")
    process = project.start_stage("train")
    assert "train: nothing to do: checkpoints/ was made from the same" in process.communicate(timeout=120)[0]
    assert (project / "checkpoints/model.safetensors").stat().st_mtime_ns == checkpoint
    assert project.files("metrics/train") == curves


def test_a_changed_helper_recomputes_the_clips(project):
    path = project / "pipeline/media/files.py"
    path.write_text(f"{path.read_text()}\nUNUSED = 1\n")
    assert "; 40 made" in project.run("wav") and "; 0 made" in project.run("download")


def shard_times(project: Project, stage: str) -> dict:
    shards = (project / FOLDERS[stage]).glob("0*")
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in shards}


def test_new_clips_recompute_no_others(project):
    project.set({"data.ensemble.clips": 42})
    project.run("clips")
    for stage in ("download", "frames"):
        before = shard_times(project, stage)
        assert "; 2 made, " in project.run(stage)
        assert before.items() <= shard_times(project, stage).items()


# --- numbers and pages ----------------------------------------------------------------------------------


def test_metrics_have_their_names_intervals_and_chance(finished_project):
    check_metrics(finished_project / "metrics/evaluate.json")


def check_metrics(path: Path) -> None:
    metrics = json.loads(path.read_text())
    assert {"correspondence", "retrieval"} <= set(metrics)
    check_section(metrics["correspondence"], {"accuracy", "auc"})
    assert set(metrics["retrieval"]) == RETRIEVAL
    names = {f"{metric}_{k}" for metric in ("recall", "precision") for k in (1, 5, 10)}
    for direction in RETRIEVAL:
        check_section(metrics["retrieval"][direction], {"ndcg_30", "map", *names})


def check_section(numbers: dict, names: set[str]) -> None:
    assert names <= set(numbers) and numbers["n"] > 0
    for name in names:
        low, high = numbers["ci"][name]
        assert 0 <= low <= numbers[name] <= high <= 1
        assert 0 <= numbers["chance"][name] <= 1


def test_the_files_that_dvc_plots_exist(finished_project):
    def header(path: str) -> set[str]:
        return set((finished_project / path).read_text().splitlines()[0].split(","))

    assert header("metrics/classes.csv") == {"label", "clips"}
    assert header("metrics/roc.csv") == {"fpr", "tpr"}
    assert header("metrics/train/epochs.csv") >= {"epoch", "train/loss", "val/loss", "val/accuracy"}
    assert (finished_project / "metrics/spectrograms.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_the_report_is_one_page_that_loads_nothing(finished_project):
    page = (finished_project / "report/index.html").read_text()
    links = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attributes):
            links.extend(
                v for k, v in attributes if k in ("src", "href", "srcset", "poster", "data", "action")
            )

    Links().feed(page)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\((?!['\"]?(data:|#))|\bfetch\(|XMLHttpRequest", page)
    assert [p.name for p in (finished_project / "report").iterdir()] == ["index.html"]


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_all_stages_run_on_one_modality(project, modality):
    project.set({"modality": modality, "pairing": "category", "train.epochs": 2, "train.balanced": True})
    for stage in ("train", "evaluate", "index", "report"):
        project.run(stage)
    directions = {f"{modality}_to_{modality}"}
    metrics = json.loads((project / "metrics/evaluate.json").read_text())
    assert (
        set(metrics["retrieval"])
        == set(json.loads((project / "metrics/index.json").read_text()))
        == directions
    )
    page = (project / "report/index.html").read_text()
    assert "Embedding map" in page and "Sound to picture" not in page


# --- a folder of videos ---------------------------------------------------------------------------------


def test_only_changed_videos_of_a_folder_are_recomputed(tmp_path):
    project = Project.new(tmp_path / "project", **{"data.source": "folder", "data.shard_size": 2})
    videos = project / "videos"
    for i in range(5):
        record(videos / f"clip-{i}.flv", frames=45, sound=sine(1.5, 200 + 100 * i))
    stages = ("download", "wav", "frames")
    project.run("clips")
    for stage in stages:
        assert ": 5 clips in, 5 ok; 5 made, " in project.run(stage)

    record(videos / "clip-00.flv", frames=45, sound=sine(1.5))  # before the others: all move on by one
    (videos / "clip-1.flv").unlink()
    record(videos / "clip-2.flv", frames=50, sound=sine(1.5))
    project.run("clips")
    names = [r["clip_id"] for r in project.rows("clips.parquet")]
    assert names == ["clip-0", "clip-00", "clip-2", "clip-3", "clip-4"]
    for stage in stages:
        assert ": 5 clips in, 5 ok; 2 made, " in project.run(stage)
        assert [r["clip_id"] for r in project.rows(f"{FOLDERS[stage][5:]}/index.parquet")] == names
    assert not project.hidden_files()


def test_too_few_clips_are_a_one_line_error(damaged_videos_project):
    line = damaged_videos_project.expect_error("train")
    assert "too few clips" in line
    usable = [r["split"] for r in damaged_videos_project.rows("splits.parquet") if r["status"] == "ok"]
    for split, purpose in (("train", "train"), ("val", "choose"), ("test", "test")):
        assert f"{usable.count(split)} to {purpose}" in line
    assert "at least 2 videos are needed to train and 2 to test" in line


def test_no_clip_at_all_is_a_one_line_error(damaged_videos_project, tmp_path):
    project = damaged_videos_project.copy(tmp_path / "project")
    shutil.rmtree(project / "videos")
    assert "videos" in project.expect_error("clips")
    (project / "videos").mkdir()
    assert "videos" in project.expect_error("clips")


def test_a_stage_run_too_early_names_the_missing_input(damaged_videos_project, tmp_path):
    project = damaged_videos_project.copy(tmp_path / "project")
    shutil.rmtree(project / "data/media")
    assert "data/media/index.parquet: no index there" in project.expect_error("wav")
    (project / "data/clips.parquet").unlink()
    assert "data/clips.parquet: no such clip table" in project.expect_error("download")


# --- published data sets --------------------------------------------------------------------------------


def test_all_stages_run_on_crema_d(tmp_path):
    project = Project.new(
        tmp_path / "project",
        # All actors look and sound alike here.
        **{"data.source": "crema_d", "label": "category", "train.epochs": 1, "quality.duplicates": "none"},
    )
    for actor in range(1001, 1009):
        for k, emotion in enumerate(("ANG", "HAP")):
            record(
                project / f"videos/{actor}_IEO_{emotion}_XX.flv", frames=45, sound=sine(1.5, 200 + 200 * k)
            )
    (project / "videos/1064_TIE_SAD_XX.flv").write_bytes(b"FLV")
    (project / "videos/1009_DFA_SAD_XX.flv").write_text("version https://git-lfs.github.com/spec/v1\noid")
    for stage in (*DATA_AND_SPLIT, "train", "evaluate"):
        project.run(stage)
    reasons = {r["clip_id"]: r["detail"] for r in project.rows("splits.parquet") if r["status"] != "ok"}
    assert "broken as published" in reasons.pop("1064_TIE_SAD_XX")
    assert "git lfs pull" in reasons.pop("1009_DFA_SAD_XX") and not reasons


def test_all_stages_run_on_separate_face_and_voice_files(tmp_path):
    project = Project.new(tmp_path / "project", **{"data.source": "voxceleb", "train.epochs": 1})
    rng = np.random.default_rng(0)
    for person in ("Ann", "Bob", "Cid"):
        for recording in range(4):
            face = project / f"videos/unzippedFaces/{person}/r{recording}/0.jpg"
            voice = project / f"videos/wav/{person}/r{recording}/0.wav"
            for path in (face, voice):
                path.parent.mkdir(parents=True)
            cv2.imwrite(str(face), rng.integers(0, 255, (60, 50, 3), dtype=np.uint8))
            with wave.open(str(voice), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes((rng.normal(size=12_000) * 3000).astype("<i2").tobytes())
    project.set({"split.test": 0.4})
    for stage in (*DATA_AND_SPLIT, "train", "evaluate", "index"):
        project.run(stage)
    assert {r["status"] for r in project.rows("splits.parquet")} == {"ok"}
    assert all(r["audio"].endswith(".wav") for r in project.rows("clips.parquet"))


def test_a_new_source_recomputes_no_clip_of_another(project):
    (project / "pipeline/sources/extra.py").write_text("def fetch(clip, data):\n    return None\n")
    assert project.run("download").endswith("; 0 made, nothing to do")
    imported_module = project / "pipeline/sources/flv.py"  # which the source in use imports
    imported_module.write_text(imported_module.read_text() + "\nMORE = 1\n")
    assert "; 40 made, " in project.run("download")
