"""The study of CAV-MAE, at a size that shows only that it works."""

import json

import pytest

from testing.project import Project
from tests.experiments.conftest import run_study


def test_cav_mae(finished_project, tmp_path):
    settings = {
        "task": "classification",
        "encoder": "cav_mae",
        "train.epochs": 1,
        "pretraining.train.epochs": 1,
        "split.test": 0.4,
    }
    study = {"labels": 0.6, "seeds": [0, 1], "set": settings}
    project = run_study(Project.new(tmp_path / "project"), "cav_mae", study, finished_project / "data")
    results = json.loads((project / "experiments/cav_mae/metrics.json").read_text())["results"]
    rows = results["classification"]
    published = "both, masked and weighed as published"
    assert list(rows) == ["from scratch", "reconstruction only", "contrastive only", "both", published]
    tuned = {"fine_tuned", "without_video", "without_audio"}
    assert set(rows["from scratch"]) == tuned and set(rows["both"]) == tuned | {"linear", "gain"}
    gain = rows["both"]["gain"]
    expected = rows["both"]["fine_tuned"]["accuracy"] - rows["from scratch"]["fine_tuned"]["accuracy"]
    assert gain["accuracy"] == pytest.approx(expected, abs=1e-5) and len(gain["seeds"]) == 2
    assert set(results["retrieval"]) == {"chance", *list(rows)[1:]}
    filled = {"the mean of what is seen", "reconstruction only", "both", published}
    assert set(results["reconstruction"]) == filled
    page = (project / "experiments/cav_mae/README.md").read_text()
    assert "| from scratch |" in page and "### Reconstruction of masked patches" in page
    assert (project / "experiments/cav_mae/inpainting.jpg").stat().st_size > 10_000
