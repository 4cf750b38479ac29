"""Read the values that a data stage computed for clips: the one reader for training, reports and the app.

The index of a stage holds the shard and row of each clip's value, and the location of the shards: beside the
index, or in `engine.storage`, from which pipeline.store.storage copies them. If a value cannot be read, a
UserError of one line names the clip, the shard, the reason and what to do.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store import storage
from pipeline.store.formats import Arrays, Files, read_table
from pipeline.store.shards import read_index, shard_locations
from pipeline.store.status import OK

T = TypeVar("T")
Locate = Callable[[str], Path]  # path or URL of a shard -> path of a local file with its content


@dataclass(frozen=True)
class _ShardFiles:
    """The files of a stage's shards. locations: of each in `engine.storage`; empty: in the folder."""

    folder: Path
    locations: list[str]
    suffix: str
    locate: Locate = storage.local_path

    def read(self, shard: int, clip_id: str, read: Callable[..., T], *arguments: Any) -> T:
        """Return `read(path, *arguments)` for the file of a shard.

        clip_id: of a clip in the shard, for messages. Raises UserError if the file cannot be read.
        """
        location = self.locations[shard] if self.locations else str(self.folder / f"{shard:05d}{self.suffix}")
        try:
            return read(self.locate(location), *arguments)
        except UserError as e:
            if not self.locations:
                raise UserError(f"clip {clip_id}: {e}") from None
            reason = str(e)
        except (OSError, ValueError, IndexError, KeyError) as e:  # pyarrow's errors are subclasses of these
            text = getattr(e, "strerror", None) or " ".join(str(e).split())
            reason = f"{location}: cannot be read ({text})"
        # DVC does not track files in a storage: only with --force does it run the stage again.
        force = f" --force --single-item {self.folder.name}" if self.locations else ""
        remedy = f"delete the file if it is damaged, then run dvc repro{force}"
        raise UserError(f"clip {clip_id}: {reason}: {remedy}")


@dataclass
class ClipArrays:
    """The arrays of n clips, all of one shape, in shards that are mapped into memory at the first access.

    It has the interface of one array of shape (n, ...): `arrays[i]` is a view of the array of clip i.
    """

    MAPPED = 1024  # shards at a time: the number of memory maps of a process is limited

    shards: _ShardFiles
    clip_id: pa.Array
    shard: np.ndarray  # (n,) int
    row: np.ndarray  # (n,) int
    _arrays: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def from_index(cls, folder: str | Path, index: pa.Table) -> "ClipArrays":
        """Return the arrays of clips of a stage. index: their rows in the stage's index; all are ok."""
        shards = _ShardFiles(Path(folder), shard_locations(index), Arrays.suffix)
        clip_id = index["clip_id"].combine_chunks()
        return cls(shards, clip_id, index["shard"].to_numpy(), index["row"].to_numpy())

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, clip: int) -> np.ndarray:
        return self._shard_array(clip)[self.row[clip]]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self._shard_array(0).shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self._shard_array(0).dtype

    @property
    def in_storage(self) -> bool:
        """Whether the shards are in `engine.storage`, which every machine of a cluster can read."""
        return bool(self.shards.locations)

    def take(self, clips: np.ndarray) -> "ClipArrays":
        """Return the arrays of these clips, in this order."""
        return replace(self, clip_id=self.clip_id.take(clips), shard=self.shard[clips], row=self.row[clips])

    def _shard_array(self, clip: int) -> np.ndarray:
        shard = int(self.shard[clip])
        array = self._arrays.get(shard)
        if array is None:
            array = self.shards.read(shard, self.clip_id[int(clip)].as_py(), _map)
            if len(self._arrays) >= self.MAPPED:
                self._arrays.pop(next(iter(self._arrays)))
            self._arrays[shard] = array
        return array

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_arrays": {}}  # a worker process maps the shards itself


def read_arrays(
    folder: str | Path,
    clip_ids: Collection[str],
    index: pa.Table | None = None,
    locate: Locate = storage.local_path,
) -> dict[str, np.ndarray]:
    """Return the arrays that a stage computed for clips, by clip id, without clips that are not ok.

    folder: of the stage. index: of the stage; None: read it. locate: returns the local file of a shard. An
    array is a view of its memory-mapped shard: only the parts in use are read.
    """

    def arrays(path: Path, rows: list[int]) -> list[np.ndarray]:
        array = _map(path)
        return [array[row] for row in rows]

    return _read(folder, clip_ids, index, locate, Arrays.suffix, arrays)


def read_files(
    folder: str | Path,
    clip_ids: Collection[str],
    column: str,
    index: pa.Table | None = None,
    locate: Locate = storage.local_path,
) -> dict[str, bytes]:
    """Return the encoded files of clips in a column (`audio`), by clip id; parameters as of `read_arrays`."""

    def files(path: Path, rows: list[int]) -> list[bytes]:
        table = read_table(path, [column])
        return pc.struct_field(table[column].take(rows), "bytes").to_pylist()

    return _read(folder, clip_ids, index, locate, Files.suffix, files)


def _read(
    folder: str | Path,
    clip_ids: Collection[str],
    index: pa.Table | None,
    locate: Locate,
    suffix: str,
    read_rows: Callable[[Path, list[int]], list[T]],
) -> dict[str, T]:
    """Return values by clip id; open each shard once. read_rows: returns rows of a shard's file."""
    index = read_index(folder) if index is None else index
    shards = _ShardFiles(Path(folder), shard_locations(index), suffix, locate)
    is_requested = pc.is_in(index["clip_id"], pa.array(list(clip_ids), pa.string()))
    usable = index.filter(pc.and_(is_requested, pc.equal(index["status"], OK)))
    by_shard: dict[int, dict[str, int]] = {}
    for row in usable.select(["clip_id", "shard", "row"]).to_pylist():
        by_shard.setdefault(row["shard"], {})[row["clip_id"]] = row["row"]
    values: dict[str, T] = {}
    for shard, rows in sorted(by_shard.items()):
        shard_values = shards.read(shard, next(iter(rows)), read_rows, [*rows.values()])
        values |= zip(rows, shard_values, strict=True)
    return values


def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
