"""Shards in a storage: another folder, or an S3 server (moto, on this machine)."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine import runner
from pipeline.errors import UserError
from pipeline.store import storage
from pipeline.store.shards import Shards, read_index, shard_locations
from testing import toy_stage
from tests.pipeline.engine.test_runner import files, start, until
from tests.pipeline.engine.test_runner import run as run_locally

KINDS = ["slow"] * 29 + ["corrupt"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(folder: Path, where: str | None, *kinds: str) -> str:
    """Run the toy stage in a new process with this environment. Return what it prints."""
    process = start(folder, *kinds, storage=where)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def values(folder: Path) -> list[np.ndarray]:
    """Return the values of each shard, in any storage."""
    index = read_index(folder)
    shards = toy_stage.job(folder).shards
    locations = shard_locations(index) or [
        str(Shards.from_layout(shards).data_path(s)) for s in range(max(index["shard"].to_pylist()) + 1)
    ]
    return [np.array(shards.format.read(storage.local_path(location))) for location in locations]


def same(one: Path, other: Path) -> bool:
    both = zip(values(one), values(other), strict=True)
    return read_index(one).equals(read_index(other)) and all(np.array_equal(a, b) for a, b in both)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_killed_run_resumes_and_writes_the_same_values(tmp_path, s3, kind):
    where = s3 if kind == "s3" else str(tmp_path / "nfs")
    run_locally(tmp_path / "local", toy_stage.clips(*KINDS))
    process = start(tmp_path / "stored", *KINDS, storage=where)
    until((tmp_path / "stored/00001.index.parquet").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "stored/index.parquet").exists()
    n_finished = len(list((tmp_path / "stored").glob("0*.index.parquet")))
    n_remaining = 4 * (8 - n_finished)
    out = run(tmp_path / "stored", where, *KINDS)
    assert (
        f"; {n_remaining - 2} made" in out or f"; {n_remaining} made" in out
    )  # the last shard has two clips
    assert same(tmp_path / "stored", tmp_path / "local")
    assert all(name.endswith("index.parquet") for name in files(tmp_path / "stored"))  # only indexes
    assert shard_locations(read_index(tmp_path / "stored"))[0].startswith(f"{where}/stored/00000-")
    assert "nothing to do" in run(tmp_path / "stored", where, *KINDS)


def test_an_older_state_still_finds_its_values(tmp_path, s3):
    run(tmp_path / "a", s3, *["ok"] * 6)
    before = {name: content for name, content in files(tmp_path / "a").items()}
    run_locally(tmp_path / "local", toy_stage.clips(*["ok"] * 6))
    run(tmp_path / "a", s3, *["ok"] * 5, "corrupt")  # another state of the project
    for name, content in before.items():  # as dvc checkout does
        (tmp_path / "a" / name).write_bytes(content)
    assert same(tmp_path / "a", tmp_path / "local")


def test_shards_move_without_computation(tmp_path, s3):
    kinds = ["ok"] * 9 + ["corrupt"]
    run_locally(tmp_path / "a", toy_stage.clips(*kinds))
    run_locally(tmp_path / "local", toy_stage.clips(*kinds))
    for where in (str(tmp_path / "nfs"), s3):
        assert "; 0 made" in run(tmp_path / "a", where, *kinds)
        assert same(tmp_path / "a", tmp_path / "local")
    run(tmp_path / "a", None, *kinds)
    assert files(tmp_path / "a") == files(tmp_path / "local")


def test_a_forked_process_can_read(tmp_path, s3):
    """Like a worker of a DataLoader, it has no threads of the parent, which talk to the server."""
    run(tmp_path / "a", s3, *["ok"] * 8)
    first, second = shard_locations(read_index(tmp_path / "a"))
    assert storage.local_path(first).exists()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        path = pool.apply_async(storage.local_path, (second,)).get(60)
    assert np.load(path)[0, 0, 0] == 4


def test_the_cache_has_a_limit(tmp_path, s3, cache, monkeypatch):
    run(tmp_path / "a", s3, *["ok"] * 40)
    locations = shard_locations(read_index(tmp_path / "a"))
    first = storage.local_path(locations[0])
    size = first.stat().st_size
    monkeypatch.setenv("EARSIGHT_CACHE_GB", str(3.5 * size / 2**30))
    monkeypatch.setattr(storage, "SECONDS_IN_USE", 0.0)
    mapped = np.load(first, mmap_mode="r")
    # EARSIGHT_CACHE may be a folder with other files.
    unrelated_files = (cache / "thesis.tex", cache / "folder/of.mine")
    unrelated_files[1].parent.mkdir()
    for path in unrelated_files:
        path.write_bytes(bytes(8 * size))
    for location in locations[1:]:
        time.sleep(0.01)
        assert storage.local_path(locations[1]).exists() and storage.local_path(location).exists()
    assert all(path.exists() for path in unrelated_files)
    copies = {path.name.partition("-")[2] for path in cache.glob("*-*")}
    assert len(copies) == 3
    assert (
        locations[1].rpartition("/")[2] in copies and locations[-1].rpartition("/")[2] in copies
    )  # used again
    assert mapped[0, 0, 0] == 0  # deleted, but still readable
    assert not first.exists()


# --- mistakes of users -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("s3://nobody-has-this/earsight", "NoSuchBucket|does not exist|not there"),
        ("gs://earsight/data", "a package for gs:// is missing: uv pip install gcsfs"),
        ("sftq://host/data", "cannot be reached.*Protocol not known"),
        ("/proc/earsight", "cannot be written"),
    ],
)
def test_an_invalid_storage_is_one_line_before_any_work(tmp_path, s3, where, words):
    with pytest.raises(UserError, match=f"^engine.storage: {where}.*({words})") as error:
        runner.run(toy_stage.job(tmp_path / "a"), toy_stage.clips("ok"), 4, toy_stage.Engine(storage=where))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a").exists()


def test_a_server_that_does_not_answer_is_one_line(tmp_path, s3, monkeypatch):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # botocore would try for ten seconds
    with pytest.raises(UserError, match="cannot be reached.*Could not connect"):
        runner.run(toy_stage.job(tmp_path / "a"), toy_stage.clips("ok"), 4, toy_stage.Engine(storage=s3))
    s3fs.S3FileSystem.clear_instance_cache()


def test_the_message_names_deleted_values(tmp_path, s3):
    import s3fs

    run(tmp_path / "a", s3, *["ok"] * 4)
    place = shard_locations(read_index(tmp_path / "a"))[0]
    s3fs.S3FileSystem().rm(place)
    with pytest.raises(UserError, match=rf"{place}: not there"):
        storage.local_path(place)
    assert "4 made" in run(tmp_path / "a", s3, *["ok"] * 4)
