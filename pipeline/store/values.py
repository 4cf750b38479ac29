"""Read the values that a data stage computed for clips: the one reader for training, reports and the app.

The index of a stage says in which shard and row the value of each clip is, and where the shards are: beside
the index, or in `engine.storage`, from which pipeline/store/storage.py copies them. If a value cannot be
read, a UserError of one line names the clip, the shard, the reason and what to do.
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
NO_ROW = -1  # in place of the row of a clip that has no value
Locate = Callable[[str], Path]  # location (path or URL) of a shard -> path of a local file with its content


@dataclass(frozen=True)
class _ShardFiles:
    """The files that hold the values of a data stage.

    folder: the output folder of the stage.
    locations: the path or URL of each shard in `engine.storage`; empty if the shards are in `folder`.
    suffix: the end of the names of files in `folder`.
    locate: returns the path of a local file with the content of a location.
    """

    folder: Path
    locations: list[str]
    suffix: str
    locate: Locate = storage.local_path

    def read(self, shard: int, clip_id: str, read_file: Callable[..., T], *arguments: Any) -> T:
        """Return `read_file(path, *arguments)` for the local file of a shard.

        shard: its number. clip_id: of a clip in the shard, for messages. Raises UserError if the file cannot
        be read.
        """
        location = self.locations[shard] if self.locations else str(self.folder / f"{shard:05d}{self.suffix}")
        try:
            return read_file(self.locate(location), *arguments)
        except UserError as e:
            if not self.locations:
                raise UserError(f"clip {clip_id}: {e}") from None
            reason = str(e)
        except (OSError, ValueError, IndexError, KeyError) as e:  # pyarrow's errors are subclasses of these
            text = getattr(e, "strerror", None) or " ".join(str(e).split())
            reason = f"{location}: cannot be read ({text})"
        # DVC does not track files in a storage: it runs the stage again only with --force.
        force = f" --force --single-item {self.folder.name}" if self.locations else ""
        remedy = f"delete the file if it is damaged, then run dvc repro{force}"
        raise UserError(f"clip {clip_id}: {reason}: {remedy}")


@dataclass
class ClipArrays:
    """The arrays of n clips, all of one shape, as one array of shape (n, ...): `arrays[i]` is that of clip i.

    They are not in memory: a shard is mapped (mmap) at the first access to one of its clips. Some of the
    clips, but not all, may have no array.

    shards: the files. clip_id: the ids of the clips, in their order. shard: the number of each clip's shard.
    row: the position of each clip's array in the file of its shard; NO_ROW if it has none.
    """

    MAX_MAPPED = 1024  # shards at a time: the number of memory maps of a process is limited

    shards: _ShardFiles
    clip_id: pa.Array  # (n,)
    shard: np.ndarray  # (n,) int
    row: np.ndarray  # (n,) int
    _arrays: dict[int, np.ndarray] = field(default_factory=dict, repr=False)  # mapped shards, by number

    @classmethod
    def from_index(cls, folder: str | Path, index: pa.Table) -> "ClipArrays":
        """Return the arrays that a stage computed for clips.

        folder: the output folder of the stage. index: the rows of these clips in its index; `row` is null for
        a clip without an array, and at least one clip has one.
        """
        shards = _ShardFiles(Path(folder), shard_locations(index), Arrays.suffix)
        clip_id = index["clip_id"].combine_chunks()
        shard, row = (pc.fill_null(index[name], NO_ROW).to_numpy() for name in ("shard", "row"))
        return cls(shards, clip_id, shard, row)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, clip: int) -> np.ndarray:
        return self._shard_array(clip)[self.row[clip]]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...): the number of clips, then the shape of the array of one clip."""
        return len(self), *self._shard_array(self._example).shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self._shard_array(self._example).dtype

    @property
    def has_value(self) -> np.ndarray:
        """Whether each clip has an array, (n,) bool."""
        return self.row != NO_ROW

    @property
    def _example(self) -> int:
        """A clip that has an array: usually the first one."""
        return 0 if self.row[0] != NO_ROW else int(self.has_value.argmax())

    @property
    def in_storage(self) -> bool:
        """Whether the shards are in `engine.storage`, which every machine of a cluster can read."""
        return bool(self.shards.locations)

    def take(self, clips: np.ndarray) -> "ClipArrays":
        """Return the arrays of some of the clips. clips: their positions (0 to n - 1), in the new order."""
        return replace(self, clip_id=self.clip_id.take(clips), shard=self.shard[clips], row=self.row[clips])

    def _shard_array(self, clip: int) -> np.ndarray:
        """Return the array of the whole shard that contains a clip, mapped into memory."""
        shard = int(self.shard[clip])
        array = self._arrays.get(shard)
        if array is None:
            array = self.shards.read(shard, self.clip_id[int(clip)].as_py(), _map_file)
            if len(self._arrays) >= self.MAX_MAPPED:
                self._arrays.pop(next(iter(self._arrays)))  # the one that was mapped first
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
    """Return the arrays that a stage computed for clips, by clip id, without clips whose status is not ok.

    folder: the output folder of the stage. index: its index; None: read it. locate: returns the path of a
    local file with the content of a shard, for its path or URL. An array is a view of its shard, which is
    mapped into memory: only the parts in use are read from the disk.
    """

    def read_rows(path: Path, rows: list[int]) -> list[np.ndarray]:
        array = _map_file(path)
        return [array[row] for row in rows]

    return _read_values(folder, clip_ids, index, locate, Arrays.suffix, read_rows)


def read_files(
    folder: str | Path,
    clip_ids: Collection[str],
    column: str,
    index: pa.Table | None = None,
    locate: Locate = storage.local_path,
) -> dict[str, bytes]:
    """Return the encoded files that a stage wrote for clips, by clip id, without clips that are not ok.

    folder: the output folder of the stage. column: of the files, `audio` or `video`. index: the index of the
    stage; None: read it. locate: returns the path of a local file with the content of a shard, for its path
    or URL.
    """

    def read_rows(path: Path, rows: list[int]) -> list[bytes]:
        table = read_table(path, [column])
        return pc.struct_field(table[column].take(rows), "bytes").to_pylist()

    return _read_values(folder, clip_ids, index, locate, Files.suffix, read_rows)


def read_media(
    folder: str | Path,
    clip_ids: Collection[str],
    index: pa.Table | None = None,
    locate: Locate = storage.local_path,
) -> dict[str, dict[str, Any]]:
    """Return the media of clips, by clip id, without clips whose status is not ok.

    A value is a dictionary of `audio` and `video`, each `{"bytes": ..., "path": ...}` or None, as the stage
    `download` writes it. folder, index, locate: as for `read_files`.
    """

    def read_rows(path: Path, rows: list[int]) -> list[dict]:
        return read_table(path, ["audio", "video"]).take(rows).to_pylist()

    return _read_values(folder, clip_ids, index, locate, Files.suffix, read_rows)


def _read_values(
    folder: str | Path,
    clip_ids: Collection[str],
    index: pa.Table | None,
    locate: Locate,
    suffix: str,
    read_rows: Callable[[Path, list[int]], list[T]],
) -> dict[str, T]:
    """Return the values of clips by clip id, without clips whose status is not ok. Each shard is opened once.

    folder: the output folder of the stage. index: its index; None: read it. suffix: the end of the names of
    its shards. locate: returns a local file for the location of a shard. read_rows: returns the values at
    these positions in a local file.
    """
    index = read_index(folder) if index is None else index
    shards = _ShardFiles(Path(folder), shard_locations(index), suffix, locate)
    is_requested = pc.is_in(index["clip_id"], pa.array(list(clip_ids), pa.string()))
    usable = index.filter(pc.and_(is_requested, pc.equal(index["status"], OK)))
    rows_by_shard: dict[int, dict[str, int]] = {}  # shard -> clip id -> row
    for index_row in usable.select(["clip_id", "shard", "row"]).to_pylist():
        rows_by_shard.setdefault(index_row["shard"], {})[index_row["clip_id"]] = index_row["row"]
    values: dict[str, T] = {}
    for shard, row_by_clip in sorted(rows_by_shard.items()):
        first_clip = next(iter(row_by_clip))
        shard_values = shards.read(shard, first_clip, read_rows, [*row_by_clip.values()])
        values |= zip(row_by_clip, shard_values, strict=True)
    return values


def _map_file(path: Path) -> np.ndarray:
    """Return the array of a `.npy` file, mapped into memory."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
