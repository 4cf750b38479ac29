"""DVC finds what dvc.yaml declares: by what its VS Code extension asks, and by `dvc artifacts`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from earsight import load
from pipeline.media.wav import write_wav
from testing.project import ROOT, TINY, Project
from testing.recordings import sine

DECLARED = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
EPOCHS = TINY["train.epochs"]
PLOTS = {name: about for p in DECLARED["plots"] if isinstance(p, dict) for name, about in p.items()}
PICTURES = [p for p in DECLARED["plots"] if isinstance(p, str)]
METRICS = [next(iter(m)) for stage in DECLARED["stages"].values() for m in stage.get("metrics", [])]
TAG = "v1.0.0"


def said(folder: Path, *command: str) -> str:
    return Project(folder).run_command(*command)


def dvc(folder: Path, *arguments: str) -> str:
    return said(folder, "dvc", *arguments)


def told(project: Project, *arguments: str) -> Any:
    """What a command of DVC says as JSON."""
    return json.loads(dvc(project.root, *arguments, "--json"))


@pytest.fixture(scope="module")
def published(finished_project, tmp_path_factory) -> Project:
    """A project in Git and DVC, its model pushed to a storage and tagged, and its cache gone."""
    folder = tmp_path_factory.mktemp("published")
    project = finished_project.copy(folder / "project")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    (project / ".gitignore").write_text(f"{ignored}/last_lines/\n/trace/\n")
    said(project.root, "git", "init", "--quiet")
    dvc(project.root, "init", "--quiet")
    dvc(project.root, "commit", "--force", "--quiet")
    dvc(project.root, "remote", "add", "--quiet", "--default", "storage", str(folder / "storage"))
    said(project.root, "git", "add", "--all")
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    said(project.root, "git", *name, "commit", "--quiet", "--message", "A model")
    # DVC knows only tags with a message.
    said(project.root, "git", *name, "tag", "--message", "The first", f"model@{TAG}")
    dvc(project.root, "push", "--quiet", "checkpoints")
    return project


@pytest.fixture
def turned(published):
    """It, with one knob turned and one metric changed since."""
    metrics, params = published / "metrics/evaluate.json", published / "params.yaml"
    before = metrics.read_text(), params.read_text()
    values = json.loads(before[0])
    values["correspondence"]["accuracy"] = 0.987
    metrics.write_text(json.dumps(values))
    published.set({"train.epochs": EPOCHS + 1})
    yield published
    metrics.write_text(before[0])
    params.write_text(before[1])


# --- plots ----------------------------------------------------------------------------------------------


def test_every_template_is_one_of_dvcs():
    known = dvc(ROOT, "plots", "templates").split()
    assert PLOTS and {about["template"] for about in PLOTS.values()} <= set(known)


def test_every_plot_is_shown(published):
    found = told(published, "plots", "show", "--out", str(published.root.parent / "plots"))
    assert not found.get("errors")
    for name, about in PLOTS.items():
        [(file, columns)] = about["y"].items()
        lines = (published / file).read_text().splitlines()
        if len(lines) < 2:
            continue  # of another task: there is nothing to draw
        [shown] = found["data"][name]
        spec = shown["content"]
        assert about["title"] in json.dumps(spec["title"])
        assert about["x_label"] in json.dumps(spec) and about["y_label"] in json.dumps(spec)
        values = spec["data"]["values"]
        curves = len(columns) if isinstance(columns, list) else 1
        assert len(values) == (len(lines) - 1) * curves and all(about["x"] in v for v in values)
    drawn = [name for name in PLOTS if found["data"].get(name)]
    assert {"Loss", "Accuracy", "Classes", "ROC"} <= set(drawn)
    for path in PICTURES:
        [shown] = found["data"][path]
        assert Path(shown["url"]).read_bytes() == (published / path).read_bytes()


def numbers(values: dict) -> dict:
    """What DVC takes for metrics: no lists, such as intervals."""
    found = {k: numbers(v) if isinstance(v, dict) else v for k, v in values.items()}
    return {k: v for k, v in found.items() if v != {} and not isinstance(v, list)}


# --- metrics, parameters, and what the VS Code extension asks for ------------------------------------------


def test_metrics_and_parameters_are_found(turned):
    found = told(turned, "metrics", "show")[""]["data"]
    assert set(METRICS) <= set(found)
    for path in METRICS:
        assert found[path]["data"] == numbers(json.loads((turned / path).read_text()))
    changed = told(turned, "metrics", "diff")
    assert set(changed) == {"metrics/evaluate.json"}
    assert changed["metrics/evaluate.json"]["correspondence.accuracy"]["new"] == 0.987
    assert told(turned, "params", "diff") == {
        "params.yaml": {"train.epochs": {"old": EPOCHS, "new": EPOCHS + 1, "diff": 1}}
    }


def test_the_table_of_experiments(turned):
    """`dvc exp show`, of which the extension makes its table: what is here, and the commit before it."""
    here, commit = told(turned, "exp", "show", "--num", "1")
    assert here["rev"] == "workspace" and len(commit["rev"]) == 40
    for entry, epochs in ((here, EPOCHS + 1), (commit, EPOCHS)):
        data = entry["data"]
        values = data["metrics"]["metrics/evaluate.json"]["data"]["correspondence"]
        assert (values["accuracy"] == 0.987) == (entry is here) and values["n"] > 0
        assert data["params"]["params.yaml"]["data"]["train"]["epochs"] == epochs
        assert set(METRICS) <= set(data["metrics"])
        assert {"checkpoints", "data/wav"} <= set(data["outs"]) and "data/clips.parquet" in data["deps"]


def test_plots_of_two_revisions(turned):
    """As the extension asks for them: each plot's data apart from its drawing, for both revisions."""
    out = turned.root.parent / "compared"
    found = told(turned, "plots", "diff", "HEAD", "--out", str(out), "--split")["data"]
    [loss] = found["Loss"]
    assert set(loss["revisions"]) == {"workspace", "HEAD"}
    values = loss["anchor_definitions"]["<DVC_METRIC_DATA>"]
    assert {v["rev"] for v in values} == {"workspace", "HEAD"} and len(values) == 2 * 2 * EPOCHS
    assert "<DVC_METRIC_DATA>" in json.dumps(loss["content"])
    assert sorted(r for shown in found[PICTURES[0]] for r in shown["revisions"]) == ["HEAD", "workspace"]


def test_what_is_tracked(published):
    found = told(published, "data", "status", "--granular", "--unchanged")
    assert {"data/wav/", "checkpoints/model.safetensors"} <= set(found["unchanged"])
    assert not found.get("uncommitted")


# --- artifacts ------------------------------------------------------------------------------------------


def test_a_tagged_model_is_fetched(published, tmp_path):
    """From Git and a storage alone: in a clone that never had the model."""
    said(tmp_path, "git", "clone", "--quiet", str(published.root), "clone")
    assert not (tmp_path / "clone/checkpoints").exists()
    dvc(tmp_path, "artifacts", "get", "clone", "model", "--rev", TAG, "--out", "model")
    (tmp_path / "tone.wav").write_bytes(write_wav((sine(1.0, rate=8000) * 32767).astype(np.int16), 8000))
    vector = load(tmp_path / "model").embed(tmp_path / "tone.wav")["audio"]
    assert vector.shape == (16,) and np.isfinite(vector).all() and np.linalg.norm(vector) > 0
    own = load(published / "checkpoints").embed(tmp_path / "tone.wav")["audio"]
    assert np.array_equal(vector, own)
    # The same tag is a revision for `load`.
    again = load(f"file://{tmp_path / 'clone'}", revision=f"model@{TAG}")
    assert np.array_equal(again.embed(tmp_path / "tone.wav")["audio"], own)


def test_a_tag_that_is_not_there_is_an_error(published, tmp_path):
    process = Project(tmp_path).start("dvc", "artifacts", "get", str(published.root), "model", "--rev", "v9")
    _, err = process.communicate(timeout=60)
    assert process.returncode and "v9" in err and not list(tmp_path.iterdir())
