"""The stages on a Ray cluster, with their shards in data/ and on an S3 server: what comes out is the same."""

import importlib
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import read, stage_entry
from pipeline.dataset import dataset
from pipeline.store.shards import read_index, shard_locations
from testing.project import ROOT, Project

SHARDED = sorted(p.stem for p in (ROOT / "stages").glob("*.py") if "runner.run(" in p.read_text())


def folder(stage: str) -> str:
    return next(iter(stage_entry(stage)["outs"][0]))


@pytest.fixture(scope="module")
def there(s3, ray_cluster):
    """In this order, so that nodes know the way to the server."""
    return ray_cluster


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))


def run(project: Project, stage: str, monkeypatch) -> None:
    """In this process, which is connected to the cluster."""
    monkeypatch.chdir(project.root)
    getattr(importlib.import_module(f"stages.{stage}"), stage)()


def test_stages_that_write_shards_are_found():
    assert {"download", "wav", "spectrogram", "frames", "faces"} <= set(SHARDED)


@pytest.mark.parametrize(("stage", "workers"), [*zip(SHARDED, itertools.cycle([1, 2]), strict=False)])
def test_a_stage_writes_the_same_files(request, there, tmp_path, monkeypatch, stage, workers):
    whole = request.getfixturevalue("people_project" if stage == "faces" else "finished_project")
    project = whole.copy(tmp_path / "project")
    shutil.rmtree(project / folder(stage))
    project.set({"engine.name": "ray", "engine.address": there.address, "engine.workers": workers})
    run(project, stage, monkeypatch)
    assert project.files(folder(stage)) == whole.files(folder(stage))


def test_all_of_it_from_an_s3_server(finished_project, there, s3, tmp_path, monkeypatch, capsys):
    project = finished_project.copy(tmp_path / "project")
    for name in ("data", "metrics"):
        shutil.rmtree(project / name)
    shutil.copytree(finished_project / "data/faces", project / "data/faces")
    # One worker: each has to import what a stage does, and others are in the test above.
    where = {"engine.name": "ray", "engine.address": there.address, "engine.workers": 1, "engine.storage": s3}
    project.set(where)
    run(project, "clips", monkeypatch)
    for stage in ("download", "wav", "spectrogram", "frames"):
        run(project, stage, monkeypatch)
        index, expected = (read_index(p / folder(stage)) for p in (project, finished_project))
        assert index.equals(expected)  # keys and digests too
        assert all(
            place.startswith(f"{s3}/{Path(folder(stage)).name}/000") for place in shard_locations(index)
        )
        assert {p.suffix for p in (project / folder(stage)).iterdir()} == {".parquet"}
    run(project, "split", monkeypatch)
    assert project.files("data")["splits.parquet"] == finished_project.files("data")["splits.parquet"]

    params = read()
    one, other = (dataset.load(p / "data", params.audio, params.video) for p in (project, finished_project))
    assert one.digest == other.digest and len(one) > 30
    every = np.arange(len(one))
    for at in (0.0, 0.3, 1.0):
        assert all(
            np.array_equal(a, b) for a, b in zip(one.read(every, at), other.read(every, at), strict=True)
        )

    capsys.readouterr()
    for stage in ("evaluate", "index"):
        run(project, stage, monkeypatch)
    assert re.search(r"index: \d+ clips, flat; recall@10", capsys.readouterr().out)
    assert project.files("data/embeddings") == finished_project.files("data/embeddings")
    assert json.loads((project / "metrics/index.json").read_text()) == json.loads(
        (finished_project / "metrics/index.json").read_text()
    )
    assert (project / "metrics/evaluate.json").read_text() == (
        finished_project / "metrics/evaluate.json"
    ).read_text()
