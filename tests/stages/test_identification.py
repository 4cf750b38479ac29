"""The table of who it is."""

import json
from pathlib import Path

from testing.people_tables import table


def test_identification(told, tmp_path):
    wanted = {"label": "subject", "audio.dtype": "uint8", "train.epochs": 1}
    changes = {"identification.set": wanted, "identification.seeds": [0, 1]}
    project = table(told, tmp_path / "project", "identification", **changes)
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
