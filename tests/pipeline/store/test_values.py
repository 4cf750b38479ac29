"""Clips' values, read wherever their shards lie; what cannot be read is one line."""

import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.store.formats import Arrays, Files
from pipeline.store.shards import Shards, places, read_index
from pipeline.store.status import OK, Outcome, failed
from pipeline.store.storage import local
from pipeline.store.values import ClipArrays, read_arrays, read_files

KINDS = {"arrays": Arrays((2, 3), "float16"), "files": Files(("audio",))}
LOST = 4  # the clip that is not ok


@pytest.fixture(params=["beside", "folder", "memory"])
def storage(request, tmp_path, monkeypatch) -> str | None:
    """`engine.storage`, in each way in which shards may lie."""
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))
    return {"beside": None, "folder": str(tmp_path / "nfs"), "memory": "memory://shards"}[request.param]


def write(folder: Path, kind: str, storage: str | None) -> Path:
    """Three shards of three clips, c0 to c8, whose values tell their number."""
    (folder / kind).mkdir(parents=True)
    shards = Shards(folder / kind, KINDS[kind], storage=storage)
    if storage and "://" not in storage:
        (Path(storage) / kind).mkdir(parents=True)
    for shard in range(3):
        numbers = range(3 * shard, 3 * shard + 3)
        outcomes = [
            failed("corrupt", "no clip") if n == LOST else Outcome(OK, value=value(kind, n)) for n in numbers
        ]
        clips = [{"clip_id": f"c{n}"} for n in numbers]
        shards.settle(shard, shards.write(shard, clips, [f"key{n}" for n in numbers], outcomes))
    shards.finish(3)
    return folder / kind


def value(kind: str, number: int):
    return np.full((2, 3), number, np.float16) if kind == "arrays" else b"sound %d" % number


def first_shard(folder: Path) -> str:
    where = places(read_index(folder))
    return (
        where[0]
        if where
        else next(str(p) for p in folder.iterdir() if p.name in ("00000.npy", "00000.parquet"))
    )


def test_values_by_clip_id(tmp_path, storage):
    arrays = read_arrays(write(tmp_path, "arrays", storage), ["c7", "c0", "c4", "c8", "gone"])
    assert {clip: array[0, 0] for clip, array in arrays.items()} == {"c0": 0, "c7": 7, "c8": 8}
    files = read_files(write(tmp_path, "files", storage), {"c7", "c0", "c4", "c8", "gone"}, "audio")
    assert files == {"c0": b"sound 0", "c7": b"sound 7", "c8": b"sound 8"}


def test_arrays_of_many_clips_are_used_like_one(tmp_path, storage):
    folder = write(tmp_path, "arrays", storage)
    rows = [8, 0, 3, 5]
    arrays = ClipArrays.of(folder, read_index(folder).take(rows))
    assert len(arrays) == 4 and arrays.shape == (4, 2, 3) and arrays.dtype == np.float16
    assert arrays.in_storage == bool(storage)
    assert [arrays[i][1, 2] for i in range(4)] == rows
    assert [arrays.take(np.array([3, 1]))[i][0, 0] for i in range(2)] == [5, 0]
    copy = pickle.loads(pickle.dumps(arrays))  # a worker process maps for itself
    assert not copy._arrays and [copy[i][1, 2] for i in range(4)] == rows


def test_each_shard_is_located_once(tmp_path, storage):
    folder = write(tmp_path, "arrays", storage)
    located: list[str] = []

    def locate(place: str) -> Path:
        located.append(place)
        return local(place)

    assert set(read_arrays(folder, ["c0", "c1", "c8"], locate=locate)) == {"c0", "c1", "c8"}
    assert [Path(place).name[:5] for place in located] == ["00000", "00002"]
    assert all(place.startswith((storage or str(folder)).removeprefix("file://")) for place in located)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_that_cannot_be_read_is_one_line(tmp_path, storage, kind):
    folder = write(tmp_path, kind, storage)
    where = first_shard(folder)

    def check() -> None:
        with pytest.raises(UserError) as error:
            read_arrays(folder, ["c1"]) if kind == "arrays" else read_files(folder, ["c1"], "audio")
        line = str(error.value)
        assert line.startswith("clip c1: ") and where in line and "\n" not in line
        assert line.endswith(f": delete the file if it is damaged, then run {command}")

    command = f"dvc repro --force --single-item {kind}" if storage else "dvc repro"
    copy = local(where)  # in a cache where it is remote
    copy.write_bytes(b"damaged")
    check()
    copy.unlink()
    if "://" in where:
        fsspec.filesystem("memory").rm(where.removeprefix("memory:/"))
    check()


def test_a_stage_that_has_not_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"index.parquet: no index there: run the stage"):
        read_arrays(tmp_path, ["c1"])
