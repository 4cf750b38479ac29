"""Shards that lie elsewhere: in a folder, and on an S3 server (moto's, on this machine)."""

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
from pipeline.store.shards import places, read_index
from testing import toy_stage
from tests.pipeline.engine.test_runner import files, start, until
from tests.pipeline.engine.test_runner import run as local

KINDS = ["slow"] * 29 + ["corrupt"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(folder: Path, where: str | None, *kinds: str) -> str:
    """What the engine's run says at its end, in a process whose workers have this environment."""
    process = start(folder, *kinds, storage=where)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def values(folder: Path) -> list[np.ndarray]:
    """Of each shard, wherever it lies."""
    index = read_index(folder)
    shards = toy_stage.job(folder).shards
    where = places(index) or [str(shards.data(s)) for s in range(max(index["shard"].to_pylist()) + 1)]
    return [np.array(shards.format.read(storage.local(place))) for place in where]


def same(one: Path, other: Path) -> bool:
    both = zip(values(one), values(other), strict=True)
    return read_index(one).equals(read_index(other)) and all(np.array_equal(a, b) for a, b in both)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_run_that_was_killed_goes_on_and_gives_the_same_values(tmp_path, s3, kind):
    where = s3 if kind == "s3" else str(tmp_path / "nfs")
    local(tmp_path / "here", toy_stage.clips(*KINDS))
    process = start(tmp_path / "there", *KINDS, storage=where)
    until((tmp_path / "there/00001.index.parquet").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "there/index.parquet").exists()
    done = len(list((tmp_path / "there").glob("0*.index.parquet")))
    made = sum(4 for _ in range(8 - done))
    said = run(tmp_path / "there", where, *KINDS)
    assert f"; {made - 2} made" in said or f"; {made} made" in said  # the last shard has two clips
    assert same(tmp_path / "there", tmp_path / "here")
    assert all(name.endswith("index.parquet") for name in files(tmp_path / "there"))  # nothing but accounts
    assert places(read_index(tmp_path / "there"))[0].startswith(f"{where}/there/00000-")
    assert "nothing to do" in run(tmp_path / "there", where, *KINDS)


def test_an_older_state_still_finds_its_values(tmp_path, s3):
    run(tmp_path / "a", s3, *["ok"] * 6)
    before = {name: content for name, content in files(tmp_path / "a").items()}
    local(tmp_path / "here", toy_stage.clips(*["ok"] * 6))
    run(tmp_path / "a", s3, *["ok"] * 5, "corrupt")  # another state of the project
    for name, content in before.items():  # as dvc checkout does
        (tmp_path / "a" / name).write_bytes(content)
    assert same(tmp_path / "a", tmp_path / "here")


def test_shards_move_without_being_made_again(tmp_path, s3):
    kinds = ["ok"] * 9 + ["corrupt"]
    local(tmp_path / "a", toy_stage.clips(*kinds))
    local(tmp_path / "here", toy_stage.clips(*kinds))
    for where in (str(tmp_path / "nfs"), s3):
        assert "; 0 made" in run(tmp_path / "a", where, *kinds)
        assert same(tmp_path / "a", tmp_path / "here")
    run(tmp_path / "a", None, *kinds)
    assert files(tmp_path / "a") == files(tmp_path / "here")


def test_a_process_that_is_forked_reads_too(tmp_path, s3):
    """As a DataLoader's: the parent's threads, which talk to the server, are not in it."""
    run(tmp_path / "a", s3, *["ok"] * 8)
    first, second = places(read_index(tmp_path / "a"))
    assert storage.local(first).exists()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        path = pool.apply_async(storage.local, (second,)).get(60)
    assert np.load(path)[0, 0, 0] == 4


def test_copies_are_kept_within_a_bound(tmp_path, s3, cache, monkeypatch):
    run(tmp_path / "a", s3, *["ok"] * 40)
    where = places(read_index(tmp_path / "a"))
    first = storage.local(where[0])
    size = first.stat().st_size
    monkeypatch.setenv("EARSIGHT_CACHE_GB", str(3.5 * size / 2**30))
    monkeypatch.setattr(storage, "IN_USE", 0.0)
    mapped = np.load(first, mmap_mode="r")
    others = (
        cache / "thesis.tex",
        cache / "folder/of.mine",
    )  # EARSIGHT_CACHE may be a folder of more than this
    others[1].parent.mkdir()
    for path in others:
        path.write_bytes(bytes(8 * size))
    for place in where[1:]:
        time.sleep(0.01)
        assert storage.local(where[1]).exists() and storage.local(place).exists()
    assert all(path.exists() for path in others)
    left = {path.name.partition("-")[2] for path in cache.glob("*-*")}
    assert len(left) == 3
    assert where[1].rpartition("/")[2] in left and where[-1].rpartition("/")[2] in left  # asked for again
    assert mapped[0, 0, 0] == 0  # deleted, and still read
    assert not first.exists()


# --- what a user may have wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("s3://nobody-has-this/earsight", "NoSuchBucket|does not exist|not there"),
        ("gs://earsight/data", "a package for gs:// is missing: uv pip install gcsfs"),
        ("sftq://host/data", "cannot be reached.*Protocol not known"),
        ("/proc/earsight", "cannot be written"),
    ],
)
def test_a_storage_that_is_none_is_told_before_any_work(tmp_path, s3, where, words):
    with pytest.raises(UserError, match=f"^engine.storage: {where}.*({words})") as told:
        runner.run(toy_stage.job(tmp_path / "a"), toy_stage.clips("ok"), 4, toy_stage.Engine(storage=where))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "a").exists()


def test_a_server_that_does_not_answer_is_told(tmp_path, s3, monkeypatch):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached.*Could not connect"):
        runner.run(toy_stage.job(tmp_path / "a"), toy_stage.clips("ok"), 4, toy_stage.Engine(storage=s3))
    s3fs.S3FileSystem.clear_instance_cache()


def test_values_that_were_deleted_are_named(tmp_path, s3):
    import s3fs

    run(tmp_path / "a", s3, *["ok"] * 4)
    place = places(read_index(tmp_path / "a"))[0]
    s3fs.S3FileSystem().rm(place)
    with pytest.raises(UserError, match=rf"{place}: not there"):
        storage.local(place)
    assert "4 made" in run(tmp_path / "a", s3, *["ok"] * 4)
