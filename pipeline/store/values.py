"""Read what a data stage made of clips: the one reader for training, reports and the app.

A stage's index says in which shard and row the value of a clip is, and where the shards lie: beside the
index, or in `engine.storage`, from which pipeline.store.storage brings a copy. Where a value cannot be read,
a UserError of one line names the clip, the shard and the reason, and says what to do.
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
from pipeline.store.shards import places, read_index
from pipeline.store.status import OK

T = TypeVar("T")
Locate = Callable[[str], Path]  # a local file with what lies at a place: a path, or an address in a storage


@dataclass(frozen=True)
class _ShardFiles:
    """Where the shards of a stage lie. places: of each in `engine.storage`; empty: in the folder."""

    folder: Path
    places: list[str]
    suffix: str
    locate: Locate = storage.local

    def read(self, shard: int, clip_id: str, read: Callable[..., T], *more: Any) -> T:
        """Call `read` with a shard's file, and `more`. clip_id: of a clip in the shard, for messages."""
        place = self.places[shard] if self.places else str(self.folder / f"{shard:05d}{self.suffix}")
        try:
            return read(self.locate(place), *more)
        except UserError as e:
            if not self.places:
                raise UserError(f"clip {clip_id}: {e}") from None
            reason = str(e)
        except (OSError, ValueError, IndexError, KeyError) as e:  # pyarrow's own errors are of these kinds
            text = getattr(e, "strerror", None) or " ".join(str(e).split())
            reason = f"{place}: cannot be read ({text})"
        # DVC knows nothing of what lies in a storage: only --force has the stage look for it.
        force = f" --force --single-item {self.folder.name}" if self.places else ""
        remedy = f"delete the file if it is damaged, then run dvc repro{force}"
        raise UserError(f"clip {clip_id}: {reason}: {remedy}")


@dataclass
class ClipArrays:
    """The arrays of n clips, all of one shape, in shards that are mapped into memory when asked for.

    To be used like one array of shape (n, ...): `arrays[i]` is a view of clip i's. `of` makes one.
    """

    MAPPED = 1024  # shards at a time: a process may hold only so many mappings

    shards: _ShardFiles
    clip_id: pa.Array
    shard: np.ndarray  # (n,) int
    row: np.ndarray  # (n,) int
    _arrays: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, folder: str | Path, index: pa.Table) -> "ClipArrays":
        """Those of a stage's folder. index: the clips' rows of the stage's index; all of them are ok."""
        shards = _ShardFiles(Path(folder), places(index), Arrays.suffix)
        clip_id = index["clip_id"].combine_chunks()
        return cls(shards, clip_id, index["shard"].to_numpy(), index["row"].to_numpy())

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, clip: int) -> np.ndarray:
        return self._mapped(clip)[self.row[clip]]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self._mapped(0).shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self._mapped(0).dtype

    @property
    def in_storage(self) -> bool:
        """Whether the shards lie in `engine.storage`, which every machine of a cluster can read."""
        return bool(self.shards.places)

    def take(self, clips: np.ndarray) -> "ClipArrays":
        """The arrays of these clips, in this order."""
        return replace(self, clip_id=self.clip_id.take(clips), shard=self.shard[clips], row=self.row[clips])

    def _mapped(self, clip: int) -> np.ndarray:
        shard = int(self.shard[clip])
        array = self._arrays.get(shard)
        if array is None:
            array = self.shards.read(shard, self.clip_id[int(clip)].as_py(), _map)
            if len(self._arrays) >= self.MAPPED:
                self._arrays.pop(next(iter(self._arrays)))
            self._arrays[shard] = array
        return array

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_arrays": {}}  # a worker process maps for itself


def read_arrays(
    folder: str | Path,
    clip_ids: Collection[str],
    index: pa.Table | None = None,
    locate: Locate = storage.local,
) -> dict[str, np.ndarray]:
    """The arrays that a stage made of clips, by clip id; clips that are not ok are left out.

    folder: of the stage. index: its index, where that has been read. locate: gives the file of a shard.
    An array is a view of its shard: what is not used is not read.
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
    locate: Locate = storage.local,
) -> dict[str, bytes]:
    """The encoded files in a column (`audio`) that a stage made of clips; otherwise as `read_arrays`."""

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
    values_of: Callable[[Path, list[int]], list[T]],
) -> dict[str, T]:
    """Each shard is opened once. values_of: the values in some rows of a shard's file."""
    index = read_index(folder) if index is None else index
    shards = _ShardFiles(Path(folder), places(index), suffix, locate)
    wanted = pc.is_in(index["clip_id"], pa.array(list(clip_ids), pa.string()))
    usable = index.filter(pc.and_(wanted, pc.equal(index["status"], OK)))
    by_shard: dict[int, dict[str, int]] = {}
    for row in usable.select(["clip_id", "shard", "row"]).to_pylist():
        by_shard.setdefault(row["shard"], {})[row["clip_id"]] = row["row"]
    values: dict[str, T] = {}
    for shard, rows in sorted(by_shard.items()):
        read = shards.read(shard, next(iter(rows)), values_of, [*rows.values()])
        values |= zip(rows, read, strict=True)
    return values


def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
