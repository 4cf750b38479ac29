"""The tables of docs/ on data of their own, at a size that says nothing but that they come about."""

import json
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from tests.stages.project import Project

COMMON = {
    "task": "classification",
    "input": "face",
    "data.source": "people",
    "data.people.people": 3,
    "data.people.clips": 36,
    "faces.enabled": True,
    "faces.size": 32,
    "split.val": 0.2,
    "split.test": 0.34,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), root / "resnet18.safetensors")
    return Project.new(
        root / "project",
        **{
            "people_tables.set": COMMON,
            "shared_encoder.set": {"label": "emotion", "train.epochs": 1, "classification.fusion": "stack"},
            "shared_encoder.networks": ["frame"],
            "shared_encoder.pretrained": str(root / "resnet18.safetensors"),
            "shared_encoder.seeds": [0],
            "identification.set": {"label": "subject", "audio.dtype": "uint8", "train.epochs": 1},
            "identification.seeds": [0, 1],
            "cav_mae.set": {
                "task": "classification",
                "encoder": "cav_mae",
                "train.epochs": 1,
                "pretraining.train.epochs": 1,
                "split.test": 0.4,
            },
            "cav_mae.labels": 0.6,
            "cav_mae.seeds": [0, 1],
        },
    )


def test_shared_encoder(project):
    project.run("shared_encoder")
    found = json.loads((project / "metrics/shared_encoder.json").read_text())["frame"]
    rows = {
        "nothing (pretrained weights, new head)": {"spectrograms", "faces", "both stacked"},
        "spectrograms": {"spectrograms", "faces"},
        "faces": {"spectrograms", "faces"},
        "both stacked": {"both stacked", "faces alone", "spectrograms alone"},
    }
    for by in ("video", "subject"):
        assert {row: set(cells) for row, cells in found[by].items()} == rows
    page = (project / "docs/shared_encoder.md").read_text()
    assert "## `frame`, split at random" in page and "split by actor" in page and ".768" in page
    assert page.count("\n| nothing (pretrained") == 2 and "needs pretrained weights" not in page


def test_identification(project):
    project.run("identification")
    found = json.loads((project / "metrics/identification.json").read_text())
    assert [len(cells["test"]["seeds"]) for cells in found.values()] == [2] * 5
    assert set(found["CNN ∥ CRNN"]["verification"]) == {"audio", "video", "both"}
    assert set(found["image CNN"]["verification"]) == {"video"}
    page = (project / "docs/identification.md").read_text()
    assert "| image CNN |" in page and "84.5%" in page and "## Is it one person?" in page
    # What is there is not trained again.
    models = sorted(Path(project / "tables/identification").glob("*/model.safetensors"))
    before = [m.stat().st_mtime_ns for m in models]
    project.run("identification")
    assert len(models) == 10 and [m.stat().st_mtime_ns for m in models] == before


def test_cav_mae(project):
    (project / "docs/pictures").mkdir(parents=True, exist_ok=True)
    project.run("cav_mae")
    found = json.loads((project / "metrics/cav_mae.json").read_text())
    rows = found["classification"]
    published = "both, masked and weighed as published"
    assert list(rows) == ["from scratch", "reconstruction only", "contrastive only", "both", published]
    tuned = {"fine_tuned", "without_video", "without_audio"}
    assert set(rows["from scratch"]) == tuned and set(rows["both"]) == tuned | {"linear", "gain"}
    gain = rows["both"]["gain"]
    wanted = rows["both"]["fine_tuned"]["accuracy"] - rows["from scratch"]["fine_tuned"]["accuracy"]
    assert gain["accuracy"] == pytest.approx(wanted, abs=1e-5) and len(gain["seeds"]) == 2
    assert set(found["retrieval"]) == {"chance", *list(rows)[1:]}
    filled = {"the mean of what is seen", "reconstruction only", "both", published}
    assert set(found["reconstruction"]) == filled
    page = (project / "docs/pretraining.md").read_text()
    assert "| from scratch |" in page and "## What is filled in" in page
    assert (project / "docs/pictures/inpainting.jpg").stat().st_size > 10_000
