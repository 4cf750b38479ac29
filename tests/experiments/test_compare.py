"""Comparing by name: projects, models of studies, seeds, folds, revisions; every mistake is one line."""

import json
import shutil
import subprocess
from collections import Counter

import pandas as pd
import pyarrow as pa
import pytest
from dvc.repo import Repo

from experiments import compare, repeats
from experiments.__main__ import COMMANDS, settings_files
from experiments.find_runs import find_run
from pipeline.errors import UserError
from pipeline.metrics import predictions
from pipeline.metrics.comparison import Run
from pipeline.metrics.comparison import compare as compare_runs

EPOCH = ("-S", "train.epochs=1", "--bootstrap", "50")


@pytest.fixture(scope="module")
def dvc_copy(dvc_project, tmp_path_factory):
    """A project in which DVC finds every stage up to date, for the runs of this file."""
    return dvc_project.copy(tmp_path_factory.mktemp("compare") / "project")


def check_metrics(project) -> None:
    """Check that metrics computed from the predictions are those of the stage evaluate."""
    table = predictions.read(project / "metrics/predictions.parquet", "x")
    assert set(table["split"].to_pylist()) == {"test"}
    metrics = json.loads((project / "metrics/evaluate.json").read_text())
    rows = compare_runs([Run("A", [table])], 100, 0).rows
    assert rows
    for row in rows:
        *sections, metric = row["metric"].split(".")
        section = metrics
        for name in sections:
            section = section[name]
        assert row["value"] == pytest.approx(section[metric], abs=2e-6), row["metric"]
        assert [row["low"], row["high"]] == pytest.approx(section["ci"][metric], abs=2e-6)


def test_predictions_give_the_metrics_of_the_evaluation(finished_project, people_project):
    check_metrics(finished_project)
    check_metrics(people_project)
    table = pd.read_parquet(finished_project / "metrics/predictions.parquet")
    assert set(table["kind"]) == {"pair", "query"} and table["flags"].notna().all()
    people = pd.read_parquet(people_project / "metrics/predictions.parquet")
    assert (people["top_classes"].str[0] == people["predicted"].str[0]).all()


def test_seeds_are_trained_and_compared(dvc_copy, monkeypatch, capsys):
    monkeypatch.chdir(dvc_copy.root)
    other = dvc_copy / "runs/train.epochs=1/seed-7" / predictions.FILE
    other.parent.mkdir(parents=True)
    other.touch()
    repeats.seeds(["--seeds", "2", *EPOCH])
    assert not other.exists()
    assert " ± " in capsys.readouterr().out
    row = pd.read_csv("runs/train.epochs=1/table.csv").set_index("metric").loc["correspondence.auc"]
    assert len(row["seeds"].split()) == 2
    compare.compare(["runs/train.epochs=1", ".", "--metric", "correspondence.*", "--bootstrap", "50"])
    text = capsys.readouterr().out
    assert "| correspondence.auc |" in text and "retrieval" not in text
    table = pd.read_csv("comparison/table.csv")
    assert set(table["run"]) == {"runs/train.epochs=1", "."} and len(table) == 4
    content = (dvc_copy / "comparison/comparison.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(find_run("runs/train.epochs=1,.").seeds) == 3


def test_each_clip_is_tested_in_one_fold(dvc_copy, monkeypatch, capsys):
    monkeypatch.chdir(dvc_copy.root)
    repeats.folds(["-S", "split.folds=3", "--name", "three", *EPOCH])
    assert "fold 3 of 3" in capsys.readouterr().out
    [table] = find_run("runs/three").seeds
    queries = table.to_pandas().query("kind == 'query' and name == 'audio_to_video'")
    splits = pd.read_parquet("data/splits.parquet").dropna(subset=["split"])
    assert Counter(queries["clip_id"]) == Counter(splits["clip_id"])
    folds = queries.groupby("group")["fold"].nunique()
    assert set(folds) == {1} and queries["fold"].nunique() == 3


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (repeats.seeds, ["-S", "audio.n_mels=8"], "audio.n_mels: cannot be set here"),
        (repeats.seeds, ["-S", "loss=bc"], "unknown name; did you mean bce"),
        (repeats.seeds, ["-S", "loss"], "-S loss: should be key=value"),
        (repeats.seeds, ["-S", "loss=[["], "the value is not YAML"),
        (repeats.seeds, ["--seeds", "0"], "--seeds: 0: choose from 1 to 1000"),
        (repeats.seeds, ["--name", "../x"], "--name: ../x: use letters"),
        (repeats.folds, [], "split.folds: null: say into how many parts"),
        (repeats.folds, ["-S", "split.folds=500"], "split.folds: 500: there are"),
        (compare.compare, ["nonsense"], "nonsense: no such folder, model of a study, experiment"),
        (compare.compare, ["models"], "models: no such folder, model of a study, experiment"),
        (compare.compare, [".", "."], "one of them is there twice"),
        (compare.compare, [".", "--metric", "loss"], "--metric: loss: no such metric; choose from corr"),
        (compare.compare, [".", "--bootstrap", "0"], "--bootstrap: 0: at least 1"),
    ],
)
def test_a_mistake_is_one_line(dvc_copy, monkeypatch, command, arguments, message):
    monkeypatch.chdir(dvc_copy.root)
    with pytest.raises(UserError) as e:
        command(arguments)
    assert message in str(e.value) and "\n" not in str(e.value)


def test_data_of_other_parameters_are_not_trained_on(dvc_copy, monkeypatch):
    monkeypatch.chdir(dvc_copy.root)
    before = (dvc_copy / "params.yaml").read_text()
    dvc_copy.set({"audio.n_mels": 20})
    try:
        with pytest.raises(UserError, match="data/ is not that of params.yaml .*: dvc repro statistics"):
            repeats.seeds([])
    finally:
        (dvc_copy / "params.yaml").write_text(before)


def test_a_revision_and_a_model_of_a_study_are_read(finished_project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "--quiet"], check=True)
    (tmp_path / "metrics").mkdir()
    file = tmp_path / "metrics/predictions.parquet"
    shutil.copy(finished_project / "metrics/predictions.parquet", file)
    with Repo.init(".") as repo:
        repo.add("metrics/predictions.parquet")
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "x"], check=True)
    subprocess.run([*git, "tag", "first"], check=True)
    table = predictions.read(file, "x")
    file.unlink()
    assert find_run("first").seeds[0].equals(table)
    with pytest.raises(UserError, match="second: no such folder, model of a study"):
        find_run("second")
    shutil.rmtree(".dvc/cache")
    with pytest.raises(UserError, match="first: has no metrics/predictions.parquet .*dvc pull"):
        find_run("first")
    for seed in range(2):
        folder = tmp_path / f"experiments/people/models/deep/cnn-{seed}"
        predictions.write([table], folder / predictions.FILE)
        (folder / "config.json").touch()
    assert [len(find_run(name).seeds) for name in ("people/cnn", "people/cnn-1")] == [2, 1]
    predictions.write([pa.Table.from_pylist([], predictions.SCHEMA)], tmp_path / "none.parquet")
    with pytest.raises(UserError, match="none.parquet: its predictions are empty"):
        find_run("none.parquet")


def test_no_settings_have_the_name_of_a_command():
    assert not COMMANDS.keys() & settings_files().keys()
