"""The output folder of a data stage: shards, their indexes, and what a new run reuses of an earlier one.

A shard is one file with the values of consecutive clips. `data/<stage>/00000.npy` (or `.parquet`) holds the
values of the clips with status ok, in the order of the clip table. `00000.index.parquet` beside it is the
index of the shard, with a row for every clip. `index.parquet` is the concatenation of all shard indexes. The
index of a shard is written after its values: a shard with an index is finished. With `engine.storage` the
values are stored elsewhere (pipeline/store/storage.py), and the metadata of the index holds their location.

Every index row has a `key`: a hash of everything that the value depends on (pipeline/engine/clip_keys.py). A
row with a valid key is reused, whatever its position in the old shards: a new file at the front of a folder
shifts all other clips by one position, and costs the computation of one clip.
"""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.store import storage
from pipeline.store.atomic import atomic_write, link, write_table
from pipeline.store.formats import Layout, digest, read_table
from pipeline.store.status import OK, Outcome

INDEX = "index.parquet"
# Name in the metadata of an index: the locations of the values, unless they are beside the index.
LOCATIONS_KEY = b"earsight.places"
STALE_FOLDER = ".old"  # stale shards stay here until the new shards have reused their valid rows
# A new attempt may succeed for clips with these statuses: their rows are never reused.
RETRIED_STATUSES = ("crashed", "timeout", "unreadable", "network", "cut_short")

INDEX_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("shard", pa.int32()),
        pa.field("row", pa.int32()),  # in the values of the shard; null unless the status is ok
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),  # hash of everything that the value depends on
        pa.field("digest", pa.string(), nullable=False),  # hash of the value
    ]
)


class ShardIndex(NamedTuple):
    """The index of one shard. location: path or URL of the values. rows: one per clip (INDEX_SCHEMA)."""

    location: str
    rows: list[dict]


class StoredRow(NamedTuple):
    """The index row of one clip, and the path or URL of the shard that holds its value."""

    location: str
    row: dict


@dataclass(frozen=True)
class Shards(Layout):
    """The output folder of one data stage.

    folder, format, extra: as a Layout describes them: where the indexes are, the file format of the values,
    and the columns that the stage adds to the index. storage: the path or URL below which the values are
    stored (`engine.storage`); None: beside their indexes. In all methods a `shard` is its number, from 0.
    """

    storage: str | None = None

    @classmethod
    def from_layout(cls, layout: Layout, storage: str | None = None) -> "Shards":
        """Return the output folder of a stage with this layout. storage: None, or a path or URL."""
        return cls(layout.folder, layout.format, layout.extra, storage)

    @property
    def schema(self) -> pa.Schema:
        """The schema of the index, with the extra columns of this stage."""
        return pa.schema([*INDEX_SCHEMA, *(pa.field(name, data_type) for name, data_type in self.extra)])

    def data_path(self, shard: int) -> Path:
        """Return the path of the values of a shard that are stored beside the index."""
        return self.folder / f"{shard:05d}{self.format.suffix}"

    def index_path(self, shard: int) -> Path:
        """Return the path of the index of a shard."""
        return self.folder / f"{shard:05d}.{INDEX}"

    def data_path_beside(self, index_path: Path) -> Path:
        """Return the path of the values that are stored beside the index of a shard, in the same folder."""
        return index_path.with_name(index_path.name.removesuffix(f".{INDEX}") + self.format.suffix)

    def location(self, shard: int, rows: list[dict]) -> str:
        """Return the path or URL at which the values of a shard are stored. rows: the rows of its index."""
        if self.storage is None:
            return str(self.data_path(shard))
        ok_rows = [row for row in rows if row["status"] == OK]
        content_hash = digest([[row["clip_id"], row["key"], row["digest"]] for row in ok_rows])
        return f"{self.storage}/{self.folder.name}/{shard:05d}-{content_hash}{self.format.suffix}"

    def read_shard_index(self, path: Path) -> ShardIndex | None:
        """Return the index of a shard; None if the file is missing, damaged or has outdated columns."""
        try:
            table = read_table(path)
        except (OSError, pa.ArrowInvalid):
            return None
        if not table.schema.equals(self.schema):
            return None
        locations = shard_locations(table) or [str(self.data_path_beside(path))]
        return ShardIndex(locations[0], table.to_pylist())

    def write_values(self, shard: int, clips: list[dict], keys: list[str], outcomes: list[Outcome]) -> bytes:
        """Write the values of one shard. Return its index (the content of a file) for `write_shard_index`.

        clips: rows of the clip table. keys, outcomes: of these clips.
        """
        rows: list[dict] = []
        ok_ids: list[str] = []
        values: list[Any] = []
        for clip, key, outcome in zip(clips, keys, outcomes, strict=True):
            is_ok = outcome.status == OK
            row = {"clip_id": clip["clip_id"], "shard": shard, "row": len(values) if is_ok else None}
            row |= {"status": outcome.status, "detail": outcome.detail, "key": key}
            row["digest"] = self.format.digest(outcome.value) if is_ok else ""
            rows.append(row | {name: outcome.extra.get(name) for name, _ in self.extra})
            if is_ok:
                ok_ids.append(clip["clip_id"])
                values.append(outcome.value)
        location = self.location(shard, rows)
        with storage.store_file(location) as temporary_path:
            self.format.write(temporary_path, ok_ids, values)
        table = pa.Table.from_pylist(rows, schema=self.schema)
        content = pa.BufferOutputStream()
        pq.write_table(self._with_locations(table, [location]), content)
        return content.getvalue().to_pybytes()

    def write_shard_index(self, shard: int, content: bytes) -> None:
        """Write the index of a shard, as `write_values` returns it. This marks the shard as finished.

        Only the process that runs the stage calls this: the workers of a cluster may not see the folder.
        """
        with atomic_write(self.index_path(shard)) as temporary_path:
            temporary_path.write_bytes(content)

    def _with_locations(self, index: pa.Table, locations: list[str]) -> pa.Table:
        """Return an index with the locations of its shards in the metadata, if there is a storage.

        Values beside their index may be moved with it: their location is not recorded.
        """
        metadata = {LOCATIONS_KEY: json.dumps(locations)} if self.storage else None
        return index.replace_schema_metadata(metadata)

    def read_values(self, index: ShardIndex) -> dict[str, Any]:
        """Return the values of a finished shard by clip id, without clips whose status is not ok."""
        values = self.format.read(storage.local_path(index.location))
        return {row["clip_id"]: values[row["row"]] for row in index.rows if row["status"] == OK}

    def merge_indexes(self, n_shards: int) -> pa.Table:
        """Write `index.parquet` from the indexes of all shards and return it. Delete the stale shards."""
        shard_indexes = [read_table(self.index_path(shard)) for shard in range(n_shards)]
        index = pa.concat_tables(shard_indexes) if shard_indexes else self.schema.empty_table()
        locations: list[str] = []
        for shard_index in shard_indexes:
            locations += shard_locations(shard_index)
        index = self._with_locations(index, locations)
        write_table(index, self.folder / INDEX)
        shutil.rmtree(self.folder / STALE_FOLDER, ignore_errors=True)
        return index

    # --- progress of an interrupted run -----------------------------------------------------------

    def save_progress(self, shard: int, folder: Path) -> None:
        """Link a finished shard into `folder`, from which `restore_progress` links it back."""
        folder.mkdir(exist_ok=True)
        index_path = self.index_path(shard)
        with suppress(FileNotFoundError):  # a parallel run of the same stage ended and deleted the folder
            # The index comes last: it marks the shard as finished.
            for path in (self.data_path_beside(index_path), index_path):
                if path.exists():
                    link(path, folder / path.name)

    def restore_progress(self, folder: Path) -> None:
        """Link the finished shards in `folder` back into the output folder: DVC may have deleted them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for index_path in sorted(folder.glob(f"*.{INDEX}")):
            with suppress(FileNotFoundError):  # a parallel run of the same stage ended and deleted `folder`
                for path in (self.data_path_beside(index_path), index_path):
                    target = self.folder / path.name
                    if path.exists() and not (target.exists() and target.samefile(path)):
                        link(path, target)

    # --- reuse of an earlier run ------------------------------------------------------------------

    def start_run(self, keys: list[list[str]]) -> list[int]:
        """Compare the shards of an earlier run with new keys. Return the numbers of the shards to compute.

        keys: for each shard, the key of each clip. Shards with exactly these keys stay. Other (stale) shards
        are moved to `.old`, where `reusable_rows` finds the rows with valid keys. Temporary files of a killed
        run are deleted. Nothing in a storage is deleted: an older state of the project may refer to it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data_folder = f"{self.storage}/{self.folder.name}" if self.storage else str(self.folder)
        data_files = storage.list_names(data_folder)
        names_to_keep = {INDEX, STALE_FOLDER}
        to_compute = []
        for shard, shard_keys in enumerate(keys):
            if self._is_up_to_date(shard, shard_keys, data_files):
                names_to_keep |= {self.data_path(shard).name, self.index_path(shard).name}
            else:
                to_compute.append(shard)
        self._move_stale_shards(names_to_keep)
        for path in self.folder.iterdir():
            if path.name not in names_to_keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return to_compute

    def _is_up_to_date(self, shard: int, keys: list[str], data_files: set[str]) -> bool:
        """Return whether a finished shard has these keys, its values exist, and no clip is to be retried.

        data_files: the names of the existing files with values.
        """
        index = self.read_shard_index(self.index_path(shard))
        if not index or not index.rows or index.location != self.location(shard, index.rows):
            return False
        return (
            index.location.rpartition("/")[2] in data_files
            and [row["key"] for row in index.rows] == keys
            and not any(row["status"] in RETRIED_STATUSES for row in index.rows)
        )

    def _move_stale_shards(self, names_to_keep: set[str]) -> None:
        """Move all finished shards to `.old`, except the files with these names."""
        stale_folder = self.folder / STALE_FOLDER
        for path in sorted(self.folder.iterdir()):
            is_shard_index = path.name.endswith(f".{INDEX}") and not path.name.startswith(".")
            if path.name in names_to_keep or not is_shard_index:
                continue
            data_path = self.data_path_beside(path)
            # The inode makes the name unique: a killed run may have moved a shard of the same number before.
            name = f"{path.name.split('.')[0]}-{path.stat().st_ino}"
            stale_folder.mkdir(exist_ok=True)
            if data_path.exists():
                os.replace(data_path, stale_folder / f"{name}{self.format.suffix}")
            os.replace(path, stale_folder / f"{name}.{INDEX}")

    def reusable_keys(self) -> set[str]:
        """Return the keys of all rows of earlier runs that a new run can reuse."""
        paths = [*self.folder.glob(f"*.{INDEX}"), *(self.folder / STALE_FOLDER).glob(f"*.{INDEX}")]
        keys: set[str] = set()
        for path in paths:
            if index := self.read_shard_index(path):
                keys |= {row["key"] for row in index.rows if row["status"] not in RETRIED_STATUSES}
        return keys

    def reusable_rows(self) -> dict[str, StoredRow]:
        """Return the rows of the stale shards that a new run can reuse, by their keys (after `start_run`)."""
        rows_by_key: dict[str, StoredRow] = {}
        names_by_folder: dict[str, set[str]] = {}  # the files in each folder with values
        for path in sorted((self.folder / STALE_FOLDER).glob(f"*.{INDEX}")):
            index = self.read_shard_index(path)
            if not index or not index.rows:
                continue
            folder, _, name = index.location.rpartition("/")
            if folder not in names_by_folder:
                names_by_folder[folder] = storage.list_names(folder)
            if name in names_by_folder[folder]:
                for row in index.rows:
                    if row["status"] not in RETRIED_STATUSES:
                        rows_by_key[row["key"]] = StoredRow(index.location, row)
        return rows_by_key

    def read_outcomes(self, stored_rows: list[StoredRow | None]) -> list[Outcome | None]:
        """Return the outcomes of clips of an earlier run, with their values.

        stored_rows: for each clip, its row of `reusable_rows`, or None; its outcome then is None.
        """
        shard_values: dict[str, Any] = {}  # location of a shard -> its values
        outcomes: list[Outcome | None] = []
        for stored_row in stored_rows:
            if stored_row is None:
                outcomes.append(None)
                continue
            location, row = stored_row
            value = None
            if row["status"] == OK:
                if location not in shard_values:
                    shard_values[location] = self.format.read(storage.local_path(location))
                value = shard_values[location][row["row"]]
            extra = {name: row[name] for name, _ in self.extra}
            outcomes.append(Outcome(row["status"], row["detail"], value, extra))
        return outcomes


def read_index(folder: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Return the index of a stage, one row per clip (INDEX_SCHEMA). Raise UserError if there is none.

    folder: its output folder, `data/<stage>`. columns: the names of those to read; None: all.
    """
    path = Path(folder) / INDEX
    try:
        return read_table(path, columns)
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{path}: no index there: run the stage that writes it (dvc repro)") from None


def row_numbers(table: pa.Table, clip_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return for each clip its row number in a table with a column `clip_id`; null if it is not there."""
    return pc.index_in(clip_ids, value_set=table["clip_id"])


def shard_locations(index: pa.Table) -> list[str]:
    """Return the path or URL of the values of each shard, in the order of the shards.

    index: of a stage or of a shard. The list is empty if the values are stored beside the index.
    """
    return json.loads((index.schema.metadata or {}).get(LOCATIONS_KEY, b"[]"))
