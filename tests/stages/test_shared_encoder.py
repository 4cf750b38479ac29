"""The table of one encoder for sounds and faces."""

import json

import timm
from safetensors.torch import save_file

from testing.people_tables import table


def test_shared_encoder(told, tmp_path):
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "trunk.safetensors")
    changes = {
        "shared_encoder.set": {"label": "emotion", "train.epochs": 1, "classification.fusion": "stack"},
        "shared_encoder.networks": ["cnn_avg"],
        "shared_encoder.pretrained": str(tmp_path / "trunk.safetensors"),
        "shared_encoder.seeds": [0],
    }
    project = table(told, tmp_path / "project", "shared_encoder", **changes)
    project.run("shared_encoder")
    found = json.loads((project / "metrics/shared_encoder.json").read_text())["cnn_avg"]
    rows = {
        "nothing (pretrained weights, new head)": {"spectrograms", "faces", "both stacked"},
        "spectrograms": {"spectrograms", "faces"},
        "faces": {"spectrograms", "faces"},
        "both stacked": {"both stacked", "faces alone", "spectrograms alone"},
    }
    for by in ("video", "subject"):
        assert {row: set(cells) for row, cells in found[by].items()} == rows
    page = (project / "docs/shared_encoder.md").read_text()
    assert "## `cnn_avg`, split at random" in page and "split by actor" in page and ".768" in page
    assert page.count("\n| nothing (pretrained") == 2 and "needs pretrained weights" not in page
