"""DVC reads what dvc.yaml declares: with the commands of its VS Code extension and `dvc artifacts`."""

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
PLOTS = {name: plot for p in DECLARED["plots"] if isinstance(p, dict) for name, plot in p.items()}
PICTURES = [p for p in DECLARED["plots"] if isinstance(p, str)]
METRICS = [next(iter(m)) for stage in DECLARED["stages"].values() for m in stage.get("metrics", [])]
TAG = "v1.0.0"


def run_command(folder: Path, *command: str) -> str:
    return Project(folder).run_command(*command)


def dvc(folder: Path, *arguments: str) -> str:
    return run_command(folder, "dvc", *arguments)


def read_json(project: Project, *arguments: str) -> Any:
    """Run a DVC command; return its JSON output."""
    return json.loads(dvc(project.root, *arguments, "--json"))


@pytest.fixture(scope="module")
def pushed_project(finished_project, tmp_path_factory) -> Project:
    """Make a project in Git and DVC whose model is tagged and pushed to a storage."""
    folder = tmp_path_factory.mktemp("pushed")
    project = finished_project.copy(folder / "project")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    (project / ".gitignore").write_text(f"{ignored}/last_lines/\n/trace/\n")
    run_command(project.root, "git", "init", "--quiet")
    dvc(project.root, "init", "--quiet")
    dvc(project.root, "commit", "--force", "--quiet")
    dvc(project.root, "remote", "add", "--quiet", "--default", "storage", str(folder / "storage"))
    run_command(project.root, "git", "add", "--all")
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    run_command(project.root, "git", *name, "commit", "--quiet", "--message", "A model")
    # DVC knows only tags with a message.
    run_command(project.root, "git", *name, "tag", "--message", "The first", f"model@{TAG}")
    dvc(project.root, "push", "--quiet", "checkpoints")
    return project


@pytest.fixture
def changed_project(pushed_project):
    """Change one parameter and one metric of `pushed_project` for a test."""
    metrics, params = pushed_project / "metrics/evaluate.json", pushed_project / "params.yaml"
    before = metrics.read_text(), params.read_text()
    values = json.loads(before[0])
    values["correspondence"]["accuracy"] = 0.987
    metrics.write_text(json.dumps(values))
    pushed_project.set({"train.epochs": EPOCHS + 1})
    yield pushed_project
    metrics.write_text(before[0])
    params.write_text(before[1])


# --- plots ----------------------------------------------------------------------------------------------


def test_every_template_is_one_of_dvcs():
    templates = dvc(ROOT, "plots", "templates").split()
    assert PLOTS and {plot["template"] for plot in PLOTS.values()} <= set(templates)


def test_every_plot_is_shown(pushed_project):
    output = read_json(pushed_project, "plots", "show", "--out", str(pushed_project.root.parent / "plots"))
    assert not output.get("errors")
    for name, plot in PLOTS.items():
        [(file, columns)] = plot["y"].items()
        lines = (pushed_project / file).read_text().splitlines()
        if len(lines) < 2:
            continue  # of another task: there is nothing to draw
        [image] = output["data"][name]
        spec = image["content"]
        assert plot["title"] in json.dumps(spec["title"])
        assert plot["x_label"] in json.dumps(spec) and plot["y_label"] in json.dumps(spec)
        values = spec["data"]["values"]
        curves = len(columns) if isinstance(columns, list) else 1
        assert len(values) == (len(lines) - 1) * curves and all(plot["x"] in v for v in values)
    names = [name for name in PLOTS if output["data"].get(name)]
    assert {"Loss", "Accuracy", "Classes", "ROC"} <= set(names)
    for path in PICTURES:
        [image] = output["data"][path]
        assert Path(image["url"]).read_bytes() == (pushed_project / path).read_bytes()


def drop_lists(values: dict) -> dict:
    """Return the values that are metrics for DVC: lists, such as intervals, are not."""
    values_ = {k: drop_lists(v) if isinstance(v, dict) else v for k, v in values.items()}
    return {k: v for k, v in values_.items() if v != {} and not isinstance(v, list)}


# --- metrics, parameters, and what the VS Code extension asks for ------------------------------------------


def test_dvc_reads_metrics_and_parameters(changed_project):
    metrics = read_json(changed_project, "metrics", "show")[""]["data"]
    assert set(METRICS) <= set(metrics)
    for path in METRICS:
        assert metrics[path]["data"] == drop_lists(json.loads((changed_project / path).read_text()))
    differences = read_json(changed_project, "metrics", "diff")
    assert set(differences) == {"metrics/evaluate.json"}
    assert differences["metrics/evaluate.json"]["correspondence.accuracy"]["new"] == 0.987
    assert read_json(changed_project, "params", "diff") == {
        "params.yaml": {"train.epochs": {"old": EPOCHS, "new": EPOCHS + 1, "diff": 1}}
    }


def test_the_table_of_experiments(changed_project):
    """`dvc exp show`, the table of the extension, has the workspace and its commit."""
    workspace, commit = read_json(changed_project, "exp", "show", "--num", "1")
    assert workspace["rev"] == "workspace" and len(commit["rev"]) == 40
    for entry, epochs in ((workspace, EPOCHS + 1), (commit, EPOCHS)):
        data = entry["data"]
        values = data["metrics"]["metrics/evaluate.json"]["data"]["correspondence"]
        assert (values["accuracy"] == 0.987) == (entry is workspace) and values["n"] > 0
        assert data["params"]["params.yaml"]["data"]["train"]["epochs"] == epochs
        assert set(METRICS) <= set(data["metrics"])
        assert {"checkpoints", "data/wav"} <= set(data["outs"]) and "data/clips.parquet" in data["deps"]


def test_plots_of_two_revisions(changed_project):
    """`dvc plots diff --split`, as the extension calls it: data and drawing are separate."""
    out = changed_project.root.parent / "compared"
    plots = read_json(changed_project, "plots", "diff", "HEAD", "--out", str(out), "--split")["data"]
    [loss] = plots["Loss"]
    assert set(loss["revisions"]) == {"workspace", "HEAD"}
    values = loss["anchor_definitions"]["<DVC_METRIC_DATA>"]
    assert {v["rev"] for v in values} == {"workspace", "HEAD"} and len(values) == 2 * 2 * EPOCHS
    assert "<DVC_METRIC_DATA>" in json.dumps(loss["content"])
    assert sorted(r for image in plots[PICTURES[0]] for r in image["revisions"]) == ["HEAD", "workspace"]


def test_dvc_tracks_data_and_models(pushed_project):
    status = read_json(pushed_project, "data", "status", "--granular", "--unchanged")
    assert {"data/wav/", "checkpoints/model.safetensors"} <= set(status["unchanged"])
    assert not status.get("uncommitted")


# --- artifacts ------------------------------------------------------------------------------------------


def test_a_tagged_model_is_fetched(pushed_project, tmp_path):
    """Fetch the model in a clone that has only Git and the storage."""
    run_command(tmp_path, "git", "clone", "--quiet", str(pushed_project.root), "clone")
    assert not (tmp_path / "clone/checkpoints").exists()
    dvc(tmp_path, "artifacts", "get", "clone", "model", "--rev", TAG, "--out", "model")
    (tmp_path / "tone.wav").write_bytes(write_wav((sine(1.0, rate=8000) * 32767).astype(np.int16), 8000))
    vector = load(tmp_path / "model").embed(tmp_path / "tone.wav")["audio"]
    assert vector.shape == (16,) and np.isfinite(vector).all() and np.linalg.norm(vector) > 0
    expected = load(pushed_project / "checkpoints").embed(tmp_path / "tone.wav")["audio"]
    assert np.array_equal(vector, expected)
    # The same tag is a revision for `load`.
    model = load(f"file://{tmp_path / 'clone'}", revision=f"model@{TAG}")
    assert np.array_equal(model.embed(tmp_path / "tone.wav")["audio"], expected)


def test_a_tag_that_is_not_there_is_an_error(pushed_project, tmp_path):
    process = Project(tmp_path).start(
        "dvc", "artifacts", "get", str(pushed_project.root), "model", "--rev", "v9"
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode and "v9" in err and not list(tmp_path.iterdir())
