"""The study of one encoder for sounds and faces, at a size that shows only that it works."""

import json

import timm
from safetensors.torch import save_file

from testing.project import Project
from tests.experiments.conftest import people_settings, run_study


def test_shared_encoder(people_project, tmp_path):
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "trunk.safetensors")
    settings = people_settings(label="emotion", **{"train.epochs": 1, "classification.fusion": "stack"})
    study = {
        "networks": ["cnn_avg"],
        "pretrained": str(tmp_path / "trunk.safetensors"),
        "seeds": [0],
        "set": settings,
    }
    project = run_study(Project.new(tmp_path / "project"), "shared_encoder", study, people_project / "data")
    results = json.loads((project / "experiments/shared_encoder/metrics.json").read_text())["results"]
    rows = {
        "nothing (pretrained weights, new head)": {"spectrograms", "faces", "both stacked"},
        "spectrograms": {"spectrograms", "faces"},
        "faces": {"spectrograms", "faces"},
        "both stacked": {"both stacked", "faces alone", "spectrograms alone"},
    }
    for by in ("video", "subject"):
        assert {row: set(cells) for row, cells in results["cnn_avg"][by].items()} == rows
    page = (project / "experiments/shared_encoder/README.md").read_text()
    assert "### `cnn_avg`, split at random" in page and "split by actor" in page and ".768" in page
    assert page.count("\n| nothing (pretrained") == 2 and "starts from pretrained weights" in page
