"""The study of identification, at a size that shows only that it works."""

import json
from pathlib import Path

from testing.project import Project
from tests.experiments.conftest import people_settings, run_study


def test_identification(people_project, tmp_path):
    settings = people_settings(label="subject", **{"train.epochs": 1})
    study = {"seeds": [0, 1], "set": settings}
    project = run_study(Project.new(tmp_path / "project"), "identification", study, people_project / "data")
    folder = Path(project / "experiments/identification")
    results = json.loads((folder / "metrics.json").read_text())["results"]
    assert [len(cells["test"]["seeds"]) for cells in results.values()] == [2] * 5
    assert set(results["CNN ∥ CRNN"]["verification"]) == {"audio", "video", "both"}
    assert set(results["image CNN"]["verification"]) == {"video"}
    page = (folder / "README.md").read_text()
    accuracy = results["image CNN"]["test"]["accuracy"]
    assert "84.5%" in page and "### Verification" in page and f"| {accuracy:.3f} [" in page
    # What is there is not trained again.
    models = sorted(folder.glob("models/*/model.safetensors"))
    before = [m.stat().st_mtime_ns for m in models]
    record = json.loads((folder / "metrics.json").read_text())["run"]
    project.run("experiments.identification.study")
    assert len(models) == 10 and [m.stat().st_mtime_ns for m in models] == before
    assert json.loads((folder / "metrics.json").read_text())["run"] == record and record["trained"] == 10
