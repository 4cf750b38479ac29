"""The output folder of a data stage: shards, their indexes, and what a new run reuses of an earlier one.

`data/<stage>/00000.npy` (or `.parquet`) holds the values of the clips with status ok, in the order of the
clip table. `00000.index.parquet` beside it is the index of the shard, with a row for every clip.
`index.parquet` is the concatenation of all shard indexes. The index of a shard is written after its values: a
shard with an index is finished. With `engine.storage` the values are stored elsewhere
(pipeline/store/storage.py), and the metadata of the index holds their location.

Every index row carries a `key`: a hash of the clip's row, of its row in the index of the stage before, of the
parameters and of the code. A row with a valid key is reused, whatever its position in the old shards: a new
file at the front of a folder shifts all other clips by one position, and costs the computation of one clip.
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
LOCATIONS = b"earsight.places"  # metadata key of an index: where the values are, unless beside the index
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
    """The index of one shard. location: path or URL of the values. rows: one for each clip."""

    location: str
    rows: list[dict]


class StoredRow(NamedTuple):
    """A row of a shard's index, and the path or URL of its values."""

    location: str
    row: dict


@dataclass(frozen=True)
class Shards(Layout):
    """The output folder of one data stage.

    storage: as pipeline.store.storage.normalize returns it; None: values are stored beside their indexes.
    """

    storage: str | None = None

    @classmethod
    def from_layout(cls, layout: Layout, storage: str | None = None) -> "Shards":
        """Return the shards of a stage with this layout."""
        return cls(layout.folder, layout.format, layout.extra, storage)

    @property
    def schema(self) -> pa.Schema:
        """The schema of the index, with the extra columns of this stage."""
        return pa.schema([*INDEX_SCHEMA, *(pa.field(n, t) for n, t in self.extra)])

    def data_path(self, shard: int) -> Path:
        """Return the path of the values of a shard that are stored beside the index."""
        return self.folder / f"{shard:05d}{self.format.suffix}"

    def index_path(self, shard: int) -> Path:
        """Return the path of the index of a shard."""
        return self.folder / f"{shard:05d}.{INDEX}"

    def data_path_beside(self, index_path: Path) -> Path:
        """Return the path of the values that are stored beside an index, in whichever folder it is."""
        return index_path.with_name(index_path.name.removesuffix(f".{INDEX}") + self.format.suffix)

    def location(self, shard: int, rows: list[dict]) -> str:
        """Return the path or URL at which the values of a shard with these index rows are stored."""
        if self.storage is None:
            return str(self.data_path(shard))
        content_hash = digest([[r["clip_id"], r["key"], r["digest"]] for r in rows if r["status"] == OK])
        return f"{self.storage}/{self.folder.name}/{shard:05d}-{content_hash}{self.format.suffix}"

    def read_shard_index(self, path: Path) -> ShardIndex | None:
        """Return the index of a finished shard, or None where the file is missing, damaged or outdated."""
        try:
            table = read_table(path)
        except (OSError, pa.ArrowInvalid):
            return None
        if not table.schema.equals(self.schema):
            return None
        locations = shard_locations(table) or [str(self.data_path_beside(path))]
        return ShardIndex(locations[0], table.to_pylist())

    def write_values(self, shard: int, clips: list[dict], keys: list[str], outcomes: list[Outcome]) -> bytes:
        """Write the values of one shard. Return its index, as a Parquet file, for `write_shard_index`."""
        rows: list[dict] = []
        ids: list[str] = []
        values: list[Any] = []
        for clip, key, outcome in zip(clips, keys, outcomes, strict=True):
            ok = outcome.status == OK
            row = {"clip_id": clip["clip_id"], "shard": shard, "row": len(values) if ok else None}
            row |= {"status": outcome.status, "detail": outcome.detail, "key": key}
            row |= {"digest": self.format.digest(outcome.value) if ok else ""}
            rows.append(row | {name: outcome.extra.get(name) for name, _ in self.extra})
            if ok:
                ids.append(clip["clip_id"])
                values.append(outcome.value)
        location = self.location(shard, rows)
        with storage.put(location) as temporary_path:
            self.format.write(temporary_path, ids, values)
        table = pa.Table.from_pylist(rows, schema=self.schema)
        content = pa.BufferOutputStream()
        pq.write_table(self._with_locations(table, [location]), content)
        return content.getvalue().to_pybytes()

    def write_shard_index(self, shard: int, content: bytes) -> None:
        """Write the index of a shard, which marks the shard as finished.

        Only the process that runs the stage calls this: the workers of a cluster may not see the folder.
        """
        with atomic_write(self.index_path(shard)) as temporary_path:
            temporary_path.write_bytes(content)

    def _with_locations(self, table: pa.Table, locations: list[str]) -> pa.Table:
        # Values beside their index may be moved with it: their location is not recorded.
        return table.replace_schema_metadata(self.storage and {LOCATIONS: json.dumps(locations)})

    def read_values(self, index: ShardIndex) -> dict[str, Any]:
        """Return the values of the clips of a finished shard with status ok, by clip id."""
        values = self.format.read(storage.local_path(index.location))
        return {r["clip_id"]: values[r["row"]] for r in index.rows if r["status"] == OK}

    def merge_indexes(self, n_shards: int) -> pa.Table:
        """Write `index.parquet` from the indexes of all shards, and delete the stale shards."""
        tables = [read_table(self.index_path(s)) for s in range(n_shards)]
        table = pa.concat_tables(tables) if tables else self.schema.empty_table()
        table = self._with_locations(table, [url for t in tables for url in shard_locations(t) or []])
        write_table(table, self.folder / INDEX)
        shutil.rmtree(self.folder / STALE_FOLDER, ignore_errors=True)
        return table

    # --- progress of an interrupted run -----------------------------------------------------------

    def save_progress(self, shard: int, folder: Path) -> None:
        """Link a finished shard into `folder`, from which `restore_progress` links it back."""
        folder.mkdir(exist_ok=True)
        index_path = self.index_path(shard)
        with suppress(FileNotFoundError):  # a parallel run of the same stage ended and deleted the folder
            for path in (
                self.data_path_beside(index_path),
                index_path,
            ):  # the index marks it as finished: last
                if path.exists():
                    link(path, folder / path.name)

    def restore_progress(self, folder: Path) -> None:
        """Link the finished shards in `folder` back to where `dvc checkout` has deleted them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for index_path in sorted(folder.glob(f"*.{INDEX}")):
            with suppress(FileNotFoundError):
                for path in (self.data_path_beside(index_path), index_path):
                    target = self.folder / path.name
                    if path.exists() and not (target.exists() and target.samefile(path)):
                        link(path, target)

    # --- reuse of an earlier run ------------------------------------------------------------------

    def start_run(self, keys: list[list[str]]) -> list[int]:
        """Delete and move what does not have these keys. Return the numbers of the shards to compute.

        Stale shards are moved to `.old`, where `reusable_rows` finds the rows with valid keys. Other files
        (temporary files of a killed run) are deleted. Nothing in a storage is deleted: an older state of the
        project may refer to it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data_folder = f"{self.storage}/{self.folder.name}" if self.storage else str(self.folder)
        data_files = storage.list_names(data_folder)
        current = {INDEX, STALE_FOLDER}
        to_compute = []
        for shard, shard_keys in enumerate(keys):
            if self._is_up_to_date(shard, shard_keys, data_files):
                current |= {self.data_path(shard).name, self.index_path(shard).name}
            else:
                to_compute.append(shard)
        self._move_stale_shards(current)
        for path in self.folder.iterdir():
            if path.name not in current:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return to_compute

    def _is_up_to_date(self, shard: int, keys: list[str], data_files: set[str]) -> bool:
        """Return whether a finished shard has exactly these keys and its values exist."""
        index = self.read_shard_index(self.index_path(shard))
        if not index or not index.rows or index.location != self.location(shard, index.rows):
            return False
        return (
            index.location.rpartition("/")[2] in data_files
            and [r["key"] for r in index.rows] == keys
            and not any(r["status"] in RETRIED_STATUSES for r in index.rows)
        )

    def _move_stale_shards(self, current: set[str]) -> None:
        """Move the shards that are not among the names `current` to `.old`."""
        stale_folder = self.folder / STALE_FOLDER
        for path in sorted(self.folder.iterdir()):
            if path.name in current or path.name.startswith(".") or not path.name.endswith(f".{INDEX}"):
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
        indexes = [index for path in paths if (index := self.read_shard_index(path))]
        return {row["key"] for i in indexes for row in i.rows if row["status"] not in RETRIED_STATUSES}

    def reusable_rows(self) -> dict[str, StoredRow]:
        """Return the reusable rows of the stale shards by their keys."""
        rows_by_key: dict[str, StoredRow] = {}
        files: dict[str, set[str]] = {}  # of each folder
        for path in sorted((self.folder / STALE_FOLDER).glob(f"*.{INDEX}")):
            location, rows = self.read_shard_index(path) or ("", [])
            folder, _, name = location.rpartition("/")
            if folder not in files:
                files[folder] = storage.list_names(folder) if rows else set()
            if name in files[folder]:
                usable = [row for row in rows if row["status"] not in RETRIED_STATUSES]
                rows_by_key |= {row["key"]: StoredRow(location, row) for row in usable}
        return rows_by_key

    def read_outcomes(self, entries: list[StoredRow | None]) -> list[Outcome | None]:
        """Return the outcomes of entries of `reusable_rows`; None for None."""
        files: dict[str, Any] = {}
        outcomes: list[Outcome | None] = []
        for entry in entries:
            if entry is None:
                outcomes.append(None)
                continue
            location, row = entry
            value = None
            if row["status"] == OK:
                if location not in files:
                    files[location] = self.format.read(storage.local_path(location))
                value = files[location][row["row"]]
            extra = {name: row[name] for name, _ in self.extra}
            outcomes.append(Outcome(row["status"], row["detail"], value, extra))
        return outcomes


def read_index(folder: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Return the index of a stage, `data/<stage>/index.parquet`: all columns, or `columns`."""
    path = Path(folder) / INDEX
    try:
        return read_table(path, columns)
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{path}: no index there: run the stage that writes it (dvc repro)") from None


def row_numbers(table: pa.Table, clip_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the row numbers of clips in a table or an index; null where the table lacks a clip."""
    return pc.index_in(clip_ids, value_set=table["clip_id"])


def shard_locations(index: pa.Table) -> list[str]:
    """Return the path or URL of the values of each shard, by its number; empty: beside the index."""
    return json.loads((index.schema.metadata or {}).get(LOCATIONS, b"[]"))
