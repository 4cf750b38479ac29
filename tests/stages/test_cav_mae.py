"""Run all stages with CAV-MAE: pretraining without labels, then fine-tuning from its checkpoint."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from models import checkpoint
from models.inference.search import Library
from pipeline.store import epochs
from testing.project import TINY, Project


def test_statistics_are_those_of_the_training_split(pretraining_project):
    """Compare with NumPy over all real columns of the training clips."""
    split = {r["clip_id"]: r["split"] for r in pretraining_project.rows("splits.parquet")}
    rows = {
        r["clip_id"]: r for r in pretraining_project.rows("spectrogram/index.parquet") if r["status"] == "ok"
    }
    frames_seconds = {
        r["clip_id"]: r["seconds"]
        for r in pretraining_project.rows("frames/index.parquet")
        if r["status"] == "ok"
    }
    values = []
    for clip, row in rows.items():
        if split[clip] == "train":
            shard = np.load(pretraining_project / f"data/spectrogram/{row['shard']:05d}.npy")
            seconds = (
                min(row["seconds"], frames_seconds[clip]) if frames_seconds[clip] >= 0.5 else row["seconds"]
            )
            values.append(shard[row["row"], 0, :, : int(seconds * 100 + 1e-6) + 1].astype(float).ravel())
    statistics = json.loads((pretraining_project / "data/statistics.json").read_text())
    columns = np.concatenate(values)
    assert statistics["mean"] == pytest.approx(columns.mean(), abs=1e-4)
    assert statistics["std"] == pytest.approx(columns.std(), abs=1e-4)
    assert statistics["clips"] == len(values) and statistics["columns"] == len(columns) // 16


def test_pretraining_has_metrics_and_a_report(pretraining_project):
    metrics = json.loads((pretraining_project / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"correspondence", "retrieval", "reconstruction"}
    assert len(metrics["retrieval"]) == 4
    reconstruction = metrics["reconstruction"]
    for side in ("audio_mse", "video_mse"):
        low, high = reconstruction["ci"][side]
        assert low <= reconstruction[side] <= high and reconstruction["chance"][side] > 0
    picture = cv2.imread(str(pretraining_project / "metrics/inpainting.jpg"))
    assert picture is not None and picture.std() > 20
    page = (pretraining_project / "report/index.html").read_text()
    assert "Inpainting" in page and "trained without labels to reconstruct masked patches" in page
    assert "Contrastive accuracy" in page and "Sound, filled in" in page


def test_losses_by_part_are_plotted(pretraining_project):
    for folder in ("pretrain", "train"):  # the stage train copies the results of pretrain
        rows = epochs.read_history(pretraining_project / f"metrics/{folder}")
        assert [row["epoch"] for row in rows] == list(range(1, TINY["pretraining.train.epochs"] + 1))
        curves = {name.removeprefix("train/") for name in rows[0] if name.startswith("train/")}
        assert curves == {"loss", "audio_mse", "video_mse", "contrastive", "contrastive_accuracy"}
        assert all(np.isfinite(row[f"train/{curve}"]) for curve in curves for row in rows)
        metrics = json.loads((pretraining_project / f"metrics/{folder}/metrics.json").read_text())
        assert (
            metrics["epoch"] == TINY["pretraining.train.epochs"] and metrics["best"]["train"]["audio_mse"] > 0
        )
    assert (pretraining_project / "last_lines/train").read_text().startswith("train: epoch ")


def test_the_model_searches_with_a_file(pretraining_project, tmp_path):
    library = Library.open(pretraining_project.root)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((90, 120, 3), 90, np.uint8))
    query = library.read_and_embed(tmp_path / "wall.png")
    assert query.embeddings["video"].shape == (32,)
    assert len(library.nearest(query.embeddings["video"], "video_to_audio", 3)) == 3


@pytest.fixture
def copy(pretraining_project, tmp_path):
    project = pretraining_project.copy(tmp_path / "project")
    yield project
    shutil.rmtree(project.root)


FINE_TUNING = {"task": "classification", "encoder": "cav_mae", "train.epochs": 6}


def weights(project: Project, folder: str) -> dict[str, torch.Tensor]:
    return checkpoint.load(project / folder).module.state_dict()


def test_fine_tuning_and_probing_start_from_the_pretrained_model(copy):
    before = (copy / "pretrained/model.safetensors").stat().st_mtime_ns
    copy.set(FINE_TUNING | {"classification.frozen": True, "evaluate.frames": 2})
    copy.run("pretrain")
    assert (copy / "pretrained/model.safetensors").stat().st_mtime_ns == before  # there was nothing to do
    copy.run("train")
    start_weights, probe_weights = weights(copy, "pretrained"), weights(copy, "checkpoints")
    encoder_keys = [k for k in start_weights if k.startswith("encoder.")]
    assert encoder_keys and all(
        torch.equal(start_weights[k], probe_weights[f"fusion.{k}"]) for k in encoder_keys
    )
    copy.run("evaluate")
    metrics = json.loads((copy / "metrics/evaluate.json").read_text())
    assert metrics.keys() == {"classification", "without"}
    copy.set({"classification.frozen": False})
    copy.run("train")
    tuned_weights = weights(copy, "checkpoints")
    changed_keys = [
        k
        for k in encoder_keys
        if k.startswith("encoder.towers") and not torch.equal(start_weights[k], tuned_weights[f"fusion.{k}"])
    ]
    assert changed_keys
    assert torch.equal(tuned_weights["fusion.encoder.audio_mean"], start_weights["encoder.audio_mean"])
    copy.run("evaluate")
    copy.run("index")
    copy.run("report")
    assert "an encoder cav_mae for both" in (copy / "report/index.html").read_text()


def test_a_model_may_replace_pretraining(copy, pretraining_project):
    """With `train.start`, the stage pretrain has nothing to do, and a frozen encoder is no mistake."""
    shutil.move(copy / "pretrained", copy / "elsewhere")
    copy.set(FINE_TUNING | {"train.start": "elsewhere", "classification.frozen": True, "train.epochs": 1})
    copy.set({"classification.start": "scratch", "encoders.joint.cav_mae": {}})  # the model has the sizes
    assert "train.start: elsewhere" in copy.run("pretrain")
    copy.run("train")
    start_weights, probe_weights = weights(copy, "elsewhere"), weights(copy, "checkpoints")
    encoder_keys = [k for k in start_weights if k.startswith("encoder.")]
    assert all(torch.equal(start_weights[k], probe_weights[f"fusion.{k}"]) for k in encoder_keys)
    shutil.rmtree(copy / "elsewhere")
    copy.run("evaluate")  # the model is complete


def test_training_from_scratch_keeps_the_pretrained_model(copy, pretraining_project):
    copy.set(FINE_TUNING | {"classification.start": "scratch", "train.epochs": 1})
    assert copy.run("pretrain").startswith("pretrain: nothing to do")
    assert copy.files("pretrained") == pretraining_project.files("pretrained")
    shutil.rmtree(copy / "pretrained")
    copy.run("pretrain")
    assert [p.name for p in (copy / "pretrained").iterdir()] == ["README.md"]
    copy.run("train")


def test_missing_statistics_are_an_error(copy, finished_project):
    assert json.loads((finished_project / "data/statistics.json").read_text()) == {}
    (copy / "data/statistics.json").write_text("{}")
    copy.set(FINE_TUNING | {"classification.start": "scratch"})
    assert "run dvc repro statistics" in copy.expect_error("train")


def test_mistakes_are_one_line(copy):
    copy.set(FINE_TUNING | {"classification.start": "elsewhere"})
    assert "allowed: pretrain, scratch" in copy.expect_error("train")
    copy.set({"classification.start": "pretrain", "train.start": "elsewhere"})
    assert "train.start: elsewhere: neither a folder with a model" in copy.expect_error("train")
    shutil.move(copy / "pretrained", copy / "moved")
    copy.set({"train.start": None})
    assert "pretrained/model.safetensors: cannot be read" in copy.expect_error("train")
    shutil.move(copy / "moved", copy / "pretrained")
    copy.set({"audio.feature": "fbank"})
    assert "was trained with audio.feature mel, not fbank" in copy.expect_error("train")
    copy.set({"audio.feature": "mel", "encoder": "cav_mea"})
    assert "did you mean cav_mae?" in copy.expect_error("train")
    copy.set({"encoder": "cav_mae", "task": "matching"})
    assert (
        "encoder: cav_mae does not go with task: matching: use task: pretraining or classification"
        in copy.expect_error("train")
    )
    copy.set({"task": "pretraining", "encoders.joint.cav_mae": {"pacth": 8}})
    assert "encoders.joint.cav_mae.pacth: unknown key for cav_mae; did you mean patch?" in copy.expect_error(
        "pretrain"
    )
    copy.set({"encoders.joint.cav_mae": {"patch": 64}})
    assert "smaller than a patch of 64" in copy.expect_error("pretrain")
    copy.set({"encoders.joint.cav_mae": {"patch": 16, "columns": 16}})
    assert "audio is a single patch of 16, but masking needs 2" in copy.expect_error("pretrain")
    copy.set({"encoders.joint.cav_mae": {}, "modality": "audio"})
    assert "modality: audio does not go with task: pretraining: use modality: both" in copy.expect_error(
        "pretrain"
    )


def test_a_killed_pretraining_ends_the_same(copy, pretraining_project):
    shutil.rmtree(copy / "pretrained")
    shutil.rmtree(copy / "metrics/pretrain")
    process = copy.start_stage("pretrain")
    for line in process.stdout:
        if "epoch 3 of" in line:
            break
    process.kill()
    process.communicate(timeout=60)
    assert [*(copy / "resume").glob("pretrain-*.ckpt")]
    process = copy.start_stage("pretrain")
    out, err = process.communicate(timeout=120)
    assert "resuming after epoch" in out and not err
    assert copy.files("pretrained") == pretraining_project.files("pretrained")
