"""A new task is one file: in a project, it is trained, evaluated, searched, reported and exported."""

import json
import shutil
from pathlib import Path

import pytest

from testing.project import STAGES, Project

FILE = Path(__file__).with_name("loudness.py")
LATER_STAGES = STAGES[STAGES.index("statistics") :]


@pytest.fixture(scope="module")
def loud(finished_project, tmp_path_factory) -> Project:
    project = finished_project.copy(tmp_path_factory.mktemp("loud") / "project")
    shutil.copy(FILE, project / "models/tasks")
    project.set({"task": "loudness", "train.epochs": 3})
    project.output = {stage: project.run(stage) for stage in LATER_STAGES}
    return project


def test_it_trains(loud):
    config = json.loads((loud / "checkpoints/config.json").read_text())
    assert config["task"] == "loudness" and config["video_encoder"] == "cnn_avg"
    assert not config.keys() & {"loss", "matcher", "audio_encoder", "classification", "pretraining"}
    losses = [row["train/loss"] for row in config["history"]]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert "nothing to do (task: loudness" in loud.output["pretrain"] + loud.output["statistics"]


def test_its_metrics_are_reported(loud):
    metrics = json.loads((loud / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"loudness"}
    section = metrics["loudness"]
    low, high = section["ci"]["squared_error"]
    assert low <= section["squared_error"] <= high
    assert loud.output["evaluate"] == (
        f"evaluate: {section['n']} test clips or pairs: loudness squared_error {section['squared_error']:.3f}"
    )


def test_its_vectors_are_indexed(loud):
    assert {path.name for path in (loud / "data/index").iterdir()} == {"video.faiss"}


def test_its_report_has_its_texts_and_numbers(loud):
    page = (loud / "report/index.html").read_text()
    assert (
        "How loud is it?" in page
        and "cnn_avg for pictures, trained to predict the level of the sound" in page
    )
    value = json.loads((loud / "metrics/evaluate.json").read_text())["loudness"]["squared_error"]
    assert "Loudness" in page and f"{value:.3f}" in page
    assert "Which sound belongs" not in page


def test_it_is_exported(loud):
    loud.run("app.export", "--name", "loud")
    onnx = json.loads((loud / "dist/loud/config.json").read_text())["onnx"]
    assert onnx.keys() == {"video.onnx", "loudness.onnx"}
    assert all(part["difference"] < 1e-4 for part in onnx.values())
    assert onnx["loudness.onnx"]["outputs"].keys() == {"level"}
    assert "Predicts how loud a clip is from its picture." in (loud / "dist/loud/README.md").read_text()


def test_a_trained_model_is_not_trained_again(loud):
    before = (loud / "checkpoints/model.safetensors").stat().st_mtime_ns
    assert "is kept" in loud.run("train")
    assert (loud / "checkpoints/model.safetensors").stat().st_mtime_ns == before
