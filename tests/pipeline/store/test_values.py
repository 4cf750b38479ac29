"""Values of clips are read from any storage; a value that cannot be read is one line."""

import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.store.formats import Arrays, Files
from pipeline.store.shards import Shards, read_index, shard_locations
from pipeline.store.status import OK, Outcome, failed
from pipeline.store.storage import local_path
from pipeline.store.values import ClipArrays, read_arrays, read_files

KINDS = {"arrays": Arrays((2, 3), "float16"), "files": Files(("audio",))}
LOST = 4  # the clip that is not ok


@pytest.fixture(params=["beside", "folder", "memory"])
def storage(request, tmp_path, monkeypatch) -> str | None:
    """Return `engine.storage` for each kind of storage."""
    monkeypatch.setenv("EARSIGHT_CACHE", str(tmp_path / "cache"))
    return {"beside": None, "folder": str(tmp_path / "nfs"), "memory": "memory://shards"}[request.param]


def write(folder: Path, kind: str, storage: str | None) -> Path:
    """Write three shards of three clips, c0 to c8, whose values are their numbers."""
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
        shards.write_shard_index(
            shard, shards.write_values(shard, clips, [f"key{n}" for n in numbers], outcomes)
        )
    shards.merge_indexes(3)
    return folder / kind


def value(kind: str, number: int):
    return np.full((2, 3), number, np.float16) if kind == "arrays" else b"sound %d" % number


def first_shard(folder: Path) -> str:
    locations = shard_locations(read_index(folder))
    paths = [str(folder / name) for name in ("00000.npy", "00000.parquet") if (folder / name).exists()]
    return (locations or paths)[0]


def test_values_by_clip_id(tmp_path, storage):
    arrays = read_arrays(write(tmp_path, "arrays", storage), ["c7", "c0", "c4", "c8", "gone"])
    assert {clip: array[0, 0] for clip, array in arrays.items()} == {"c0": 0, "c7": 7, "c8": 8}
    files = read_files(write(tmp_path, "files", storage), {"c7", "c0", "c4", "c8", "gone"}, "audio")
    assert files == {"c0": b"sound 0", "c7": b"sound 7", "c8": b"sound 8"}


def test_arrays_of_clips_have_the_interface_of_one_array(tmp_path, storage):
    folder = write(tmp_path, "arrays", storage)
    rows = [8, 0, 3, 5]
    arrays = ClipArrays.from_index(folder, read_index(folder).take(rows))
    assert len(arrays) == 4 and arrays.shape == (4, 2, 3) and arrays.dtype == np.float16
    assert arrays.in_storage == bool(storage)
    assert [arrays[i][1, 2] for i in range(4)] == rows
    assert [arrays.take(np.array([3, 1]))[i][0, 0] for i in range(2)] == [5, 0]
    copy = pickle.loads(pickle.dumps(arrays))  # a worker process maps for itself
    assert not copy._arrays and [copy[i][1, 2] for i in range(4)] == rows


def test_each_shard_is_located_once(tmp_path, storage):
    folder = write(tmp_path, "arrays", storage)
    locations: list[str] = []

    def locate(location: str) -> Path:
        locations.append(location)
        return local_path(location)

    assert set(read_arrays(folder, ["c0", "c1", "c8"], locate=locate)) == {"c0", "c1", "c8"}
    assert [Path(location).name[:5] for location in locations] == ["00000", "00002"]
    assert all(
        location.startswith((storage or str(folder)).removeprefix("file://")) for location in locations
    )


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
    copy = local_path(where)  # in a cache where it is remote
    copy.write_bytes(b"damaged")
    check()
    copy.unlink()
    if "://" in where:
        fsspec.filesystem("memory").rm(where.removeprefix("memory:/"))
    check()


def test_a_stage_that_has_not_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"index.parquet: no index there: run the stage"):
        read_arrays(tmp_path, ["c1"])
