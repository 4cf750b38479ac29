"""Stages on a Ray cluster, with shards in data/ and on an S3 server, write the same files."""

import importlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import data_stages, read
from pipeline.dataset import dataset
from pipeline.store.shards import read_index, shard_locations
from testing.project import DATA_STAGES, Project

STAGES = data_stages()


@pytest.fixture(scope="module")
def cluster(s3, ray_cluster):
    """Start the S3 server before the cluster, so that nodes inherit its environment variables."""
    return ray_cluster


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))


def run_in_process(project: Project, stage: str, monkeypatch) -> None:
    """Run a stage in this process, which is connected to the cluster."""
    monkeypatch.chdir(project.root)
    getattr(importlib.import_module(f"stages.{stage}"), stage)()


# The test below runs the others on the cluster.
@pytest.mark.parametrize(("stage", "workers"), [("faces", 1), ("frames", 2)])
def test_a_stage_writes_the_same_files(request, cluster, tmp_path, monkeypatch, stage, workers):
    source_project = request.getfixturevalue("people_project" if stage == "faces" else "finished_project")
    project = source_project.copy(tmp_path / "project")
    shutil.rmtree(project / STAGES[stage])
    project.set({"engine.name": "ray", "engine.address": cluster.address, "engine.workers": workers})
    run_in_process(project, stage, monkeypatch)
    assert project.files(STAGES[stage]) == source_project.files(STAGES[stage])


def test_all_stages_run_with_shards_on_an_s3_server(
    finished_project, cluster, s3, tmp_path, monkeypatch, capsys
):
    project = finished_project.copy(tmp_path / "project")
    for name in ("data", "metrics"):
        shutil.rmtree(project / name)
    shutil.copytree(finished_project / "data/faces", project / "data/faces")
    # One worker: each has to import what a stage does, and others are in the test above.
    changes = {
        "engine.name": "ray",
        "engine.address": cluster.address,
        "engine.workers": 1,
        "engine.storage": s3,
    }
    project.set(changes)
    run_in_process(project, "clips", monkeypatch)
    for stage in DATA_STAGES:
        if stage == "video_towers":  # the same step as audio_towers, whose imports a node does in 10 s
            continue
        run_in_process(project, stage, monkeypatch)
        index, expected = (read_index(p / STAGES[stage]) for p in (project, finished_project))
        assert index.equals(expected)  # keys and digests too
        assert all(
            location.startswith(f"{s3}/{Path(STAGES[stage]).name}/000") for location in shard_locations(index)
        )
        assert {p.suffix for p in (project / STAGES[stage]).iterdir()} == {".parquet"}
    for stage in ("quality", "split"):
        run_in_process(project, stage, monkeypatch)
    assert project.files("data")["splits.parquet"] == finished_project.files("data")["splits.parquet"]

    params = read()
    one, other = (dataset.load(p / "data", params.audio, params.video) for p in (project, finished_project))
    assert one.digest == other.digest and len(one) > 30
    every = np.arange(len(one))
    for position in (0.0, 0.3, 1.0):
        assert all(
            np.array_equal(a, b)
            for a, b in zip(one.read(every, position), other.read(every, position), strict=True)
        )

    capsys.readouterr()
    for stage in ("evaluate", "index"):
        run_in_process(project, stage, monkeypatch)
    assert re.search(r"index: \d+ clips, flat; recall@10", capsys.readouterr().out)
    assert project.files("data/embeddings") == finished_project.files("data/embeddings")
    assert json.loads((project / "metrics/index.json").read_text()) == json.loads(
        (finished_project / "metrics/index.json").read_text()
    )
    assert (project / "metrics/evaluate.json").read_text() == (
        finished_project / "metrics/evaluate.json"
    ).read_text()
