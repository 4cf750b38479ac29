"""The table of CAV-MAE, at a size that says nothing but that it comes about."""

import json
import shutil

import pytest

from testing.project import Project


def test_cav_mae(made, tmp_path):
    project = Project.new(
        tmp_path / "project",
        **{
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
    shutil.copytree(made / "data", project / "tables/cav_mae/data/data")
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
