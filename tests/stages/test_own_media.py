"""Media as people have them, through all stages: long sounds alone, sounds and pictures in two folders."""

import importlib
import json
import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.media.wav import write_wav
from testing.in_process import run_command
from testing.project import STAGES, Project, wait_until
from testing.recordings import sine


def write_sound(path, seconds: float, pitch: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_wav((20_000 * sine(seconds, pitch, 8000)).astype(np.int16), 8000))


def write_picture(path, brightness: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 40, 3), brightness, np.uint8))


def make_project(root, **changes) -> Project:
    changes = {
        "data.source": "folder",
        "pairing": "category",
        "train.epochs": 1,
        "engine.workers": 1,
    } | changes
    return Project.new(root, **{"towers.audio": [], "towers.video": []} | changes)


def run_stages(project: Project, *stages: str) -> str:
    """Run stages in this process; return all that they print."""
    output = ""
    for name in stages:
        stage = getattr(importlib.import_module(f"stages.{name}"), name)
        status, printed, error = run_command(stage, project.root)
        assert status == 0, f"{name}: {error}"
        output += printed
    return output


def test_long_sounds_alone_train_a_classifier(tmp_path):
    project = make_project(tmp_path / "project", **{"task": "classification", "modality": "audio"})
    for i in range(12):
        label, pitch = ("low", 300) if i % 2 else ("high", 1200)
        write_sound(project / f"videos/{label}/{i}.wav", 3.2, pitch)
    output = run_stages(project, *STAGES)
    assert (
        "clips: 12 files: 0.6 of 0.6 minutes are in clips (data.cut: all, at most 150 clips of a file)"
        in output
    )
    assert "clips: 24 clips, 2 classes, from folder" in output and "left out" not in output
    splits = pq.read_table(project / "data/splits.parquet").to_pylist()
    assert len(splits) == 24 and all(row["split"] for row in splits)
    assert len({(row["group"], row["split"]) for row in splits}) == 12  # a file is on one side
    metrics = json.loads((project / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"classification"}
    assert json.loads((project / "metrics/index.json").read_text()).keys() == {"audio_to_audio"}
    page = (project / "report/index.html").read_text()
    assert "What is it?" in page and "no_video" in page


@pytest.fixture(scope="module")
def pairs_project(tmp_path_factory):
    project = make_project(
        tmp_path_factory.mktemp("pairs") / "project", **{"data.pair": "category", "data.shard_size": 4}
    )
    for i in range(16):
        label, pitch, brightness = ("low", 300, 60) if i % 2 else ("high", 1200, 200)
        write_sound(project / f"videos/sounds/{label}/{i}.wav", 1.5, pitch)
        if i < 14:
            write_picture(project / f"videos/pictures/{label}/{i}.png", brightness)
    run_stages(project, *STAGES[: STAGES.index("statistics")])
    return project


def test_sounds_and_pictures_of_two_folders_are_matched(pairs_project):
    output = run_stages(pairs_project, "clips", "split", *STAGES[STAGES.index("statistics") :])
    assert (
        "clips: 14 pairs by label: 14 of 16 sounds and of 14 pictures are used; 2 sounds and 0 pictures"
        in output
    )
    rows = pq.read_table(pairs_project / "data/clips.parquet").to_pylist()
    labels = [{path.split("/")[2] for path in (row["audio"], row["video"])} for row in rows]
    assert labels == [set(row["labels"]) for row in rows]
    metrics = json.loads((pairs_project / "metrics/evaluate.json").read_text())
    assert metrics["retrieval"].keys() >= {"audio_to_video", "video_to_audio"}


def test_a_killed_run_on_pairs_ends_with_the_same_bytes(pairs_project, tmp_path):
    project = pairs_project.copy(tmp_path / "project")
    for stage in ("wav", "frames"):
        shutil.rmtree(project / "data" / stage)
        process = project.start_stage(stage)
        wait_until((project / f"data/{stage}/00000.index.parquet").exists)
        process.kill()
        process.communicate(timeout=30)
        project.set({"engine.workers": 2})
        project.run(stage)
        assert project.files(f"data/{stage}") == pairs_project.files(f"data/{stage}")


def test_clips_without_one_side_are_left_out_aloud(pairs_project):
    pairs_project.set({"data.pair": "none"})
    (pairs_project / "videos/clips.csv").write_text(
        "audio,video,labels\nsounds/low/3.wav,pictures/low/3.png,low\nsounds/low/5.wav,,low\n,pictures/high/0.png,high\n"
    )
    output = run_stages(pairs_project, *STAGES[1 : STAGES.index("statistics")])
    assert "split: modality: both leaves out 2 clips: 1 have no sound, 1 no picture" in output
    assert "1 no_audio, 1 no_video" in output
