"""Shards and accounts: how a data stage's output lies on disk, and what may be kept of it.

`data/<stage>/00000.npy` (or `.parquet`) holds the values of the clips that came out ok, in the clip table's
order; `00000.index.parquet` beside it is the shard's account, a row for every clip; `index.parquet` is all
accounts together. A shard counts as finished when its account is there, so the account is written last.
With `engine.storage` the values lie elsewhere (pipeline/store/storage.py), and the account's metadata says
where.

Every account row carries a `key`: a hash of the clip's row, of what the stage before made of it, of the
parameters and of the code. A row whose key is still right is kept, wherever in the old shards it stands:
one new file at the front of a folder moves all others on by one, and costs one clip.
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
from pipeline.store.atomic import link, write_table, written
from pipeline.store.formats import Layout, digest, read_table
from pipeline.store.status import OK, Outcome

INDEX = "index.parquet"
PLACES = b"earsight.places"  # in a table's metadata: where the values of its shards lie, if not beside it
OLD = ".old"  # stale shards wait here until the new ones have taken from them what is still right
RETRIED = (
    "crashed",
    "timeout",
    "unreadable",
    "network",
    "cut_short",
)  # may come out otherwise next time: never kept

ACCOUNT = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("shard", pa.int32()),
        pa.field("row", pa.int32()),  # in the shard's data; null where the clip is not ok
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),  # what the value was made from
        pa.field("digest", pa.string(), nullable=False),  # what the value is
    ]
)


class Account(NamedTuple):
    """What is known of a shard. place: where its values lie. rows: one for each clip."""

    place: str
    rows: list[dict]


@dataclass(frozen=True)
class Shards(Layout):
    """The output folder of one data stage.

    storage: of pipeline.store.storage.normal; None: values lie beside their accounts.
    """

    storage: str | None = None

    @classmethod
    def of(cls, layout: Layout, storage: str | None = None) -> "Shards":
        """The shards that look so."""
        return cls(layout.folder, layout.format, layout.extra, storage)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([*ACCOUNT, *(pa.field(n, t) for n, t in self.extra)])

    def data(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}{self.format.suffix}"

    def account(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.{INDEX}"

    def beside(self, account: Path) -> Path:
        """The values that lie beside an account."""
        return account.with_name(account.name.removesuffix(f".{INDEX}") + self.format.suffix)

    def place(self, shard: int, rows: list[dict]) -> str:
        """Where the values of a shard with these rows lie."""
        if self.storage is None:
            return str(self.data(shard))
        made = digest([[r["clip_id"], r["key"], r["digest"]] for r in rows if r["status"] == OK])
        return f"{self.storage}/{self.folder.name}/{shard:05d}-{made}{self.format.suffix}"

    def read_account(self, path: Path) -> Account | None:
        """The account of a finished shard, or None where there is none that can be used."""
        try:
            table = read_table(path)
        except (OSError, pa.ArrowInvalid):
            return None
        if not table.schema.equals(self.schema):
            return None
        return Account((places(table) or [str(self.beside(path))])[0], table.to_pylist())

    def write(self, shard: int, clips: list[dict], keys: list[str], outcomes: list[Outcome]) -> bytes:
        """Write the values of one shard; return its account, a Parquet file, for `settle`."""
        rows: list[dict] = []
        ids: list[str] = []
        values: list[Any] = []
        for clip, key, outcome in zip(clips, keys, outcomes, strict=True):
            ok = outcome.status == OK
            account = {"clip_id": clip["clip_id"], "shard": shard, "row": len(values) if ok else None}
            account |= {"status": outcome.status, "detail": outcome.detail, "key": key}
            account |= {"digest": self.format.digest(outcome.value) if ok else ""}
            rows.append(account | {name: outcome.extra.get(name) for name, _ in self.extra})
            if ok:
                ids.append(clip["clip_id"])
                values.append(outcome.value)
        place = self.place(shard, rows)
        with storage.put(place) as part:
            self.format.write(part, ids, values)
        table = pa.Table.from_pylist(rows, schema=self.schema)
        content = pa.BufferOutputStream()
        pq.write_table(self._placed(table, [place]), content)
        return content.getvalue().to_pybytes()

    def settle(self, shard: int, account: bytes) -> None:
        """The shard is finished. For the process that runs the stage: workers may not see the folder."""
        with written(self.account(shard)) as part:
            part.write_bytes(account)

    def _placed(self, table: pa.Table, known: list[str]) -> pa.Table:
        # Values that lie beside their account may move with it: nothing is said of them.
        return table.replace_schema_metadata(self.storage and {PLACES: json.dumps(known)})

    def known(self) -> set[str]:
        """The keys of all rows that an earlier run left here and that need not be made again."""
        paths = [*self.folder.glob(f"*.{INDEX}"), *(self.folder / OLD).glob(f"*.{INDEX}")]
        accounts = [account for path in paths if (account := self.read_account(path))]
        return {row["key"] for a in accounts for row in a.rows if row["status"] not in RETRIED}

    def values(self, account: Account) -> dict[str, Any]:
        """clip_id -> value of the clips of a finished shard that are ok."""
        data = self.format.read(storage.local(account.place))
        return {r["clip_id"]: data[r["row"]] for r in account.rows if r["status"] == OK}

    # --- what may be kept of an earlier run -----------------------------------------------------

    def keep(self, shard: int, folder: Path) -> None:
        """Link a finished shard into `folder` too, from which `restore` brings it back."""
        folder.mkdir(exist_ok=True)
        account = self.account(shard)
        with suppress(FileNotFoundError):  # another run of the same finished, and deleted the folder
            for path in (self.beside(account), account):  # the account says that all is there: it comes last
                if path.exists():
                    link(path, folder / path.name)

    def restore(self, folder: Path) -> None:
        """Link back the finished shards that `keep` linked into `folder`, where a checkout took them away."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for account in sorted(folder.glob(f"*.{INDEX}")):
            with suppress(FileNotFoundError):
                for path in (self.beside(account), account):
                    there = self.folder / path.name
                    if path.exists() and not (there.exists() and there.samefile(path)):
                        link(path, there)

    def prepare(self, keys: list[list[str]]) -> list[int]:
        """Clear the folder for shards with these keys; return the numbers of those to be made.

        Stale shards are moved to `.old`, where `reusable` finds the rows that are still right; whatever
        else lies there (temporary files of a killed run) is deleted. In a storage nothing is: an older state
        of the project may name it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        old = self.folder / OLD
        keep = {INDEX, OLD}
        todo = []
        there = storage.names(f"{self.storage}/{self.folder.name}" if self.storage else str(self.folder))
        for shard, wanted in enumerate(keys):
            place, rows = self.read_account(self.account(shard)) or ("", [])
            if place != self.place(shard, rows) or place.rpartition("/")[2] not in there:
                rows = []
            if rows and [r["key"] for r in rows] == wanted and not any(r["status"] in RETRIED for r in rows):
                keep |= {self.data(shard).name, self.account(shard).name}
            else:
                todo.append(shard)
        for path in sorted(self.folder.iterdir()):
            if path.name in keep:
                continue
            if path.name.endswith(f".{INDEX}") and not path.name.startswith("."):
                data = self.beside(path)
                # The inode makes the name unique: a killed run may have left one of this number.
                name = f"{path.name.split('.')[0]}-{path.stat().st_ino}"
                old.mkdir(exist_ok=True)
                if data.exists():
                    os.replace(data, old / f"{name}{self.format.suffix}")
                os.replace(path, old / f"{name}.{INDEX}")
        for path in self.folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return todo

    def reusable(self) -> dict[str, tuple[str, dict]]:
        """key -> (place, account row) of every row in `.old` that may be taken over."""
        found: dict[str, tuple[str, dict]] = {}
        there: dict[str, set[str]] = {}
        for path in sorted((self.folder / OLD).glob(f"*.{INDEX}")):
            place, rows = self.read_account(path) or ("", [])
            folder, _, name = place.rpartition("/")
            if folder not in there:
                there[folder] = storage.names(folder) if rows else set()
            if name in there[folder]:
                found |= {row["key"]: (place, row) for row in rows if row["status"] not in RETRIED}
        return found

    def recall(self, found: list[tuple[str, dict] | None]) -> list[Outcome | None]:
        """The outcomes behind some of `reusable`'s entries; None where there is none."""
        files: dict[str, Any] = {}
        outcomes: list[Outcome | None] = []
        for entry in found:
            if entry is None:
                outcomes.append(None)
                continue
            place, row = entry
            value = None
            if row["status"] == OK:
                if place not in files:
                    files[place] = self.format.read(storage.local(place))
                value = files[place][row["row"]]
            extra = {name: row[name] for name, _ in self.extra}
            outcomes.append(Outcome(row["status"], row["detail"], value, extra))
        return outcomes

    def finish(self, shards: int) -> pa.Table:
        """Write `index.parquet` from the accounts of all shards, and clear what is no longer needed."""
        tables = [read_table(self.account(s)) for s in range(shards)]
        table = pa.concat_tables(tables) if tables else self.schema.empty_table()
        table = self._placed(table, [place for t in tables for place in places(t) or []])
        write_table(table, self.folder / INDEX)
        shutil.rmtree(self.folder / OLD, ignore_errors=True)
        return table


def read_index(folder: str | Path, columns: list[str] | None = None) -> pa.Table:
    """The accounts of a stage: `data/<stage>/index.parquet`; all columns, or these."""
    path = Path(folder) / INDEX
    try:
        return read_table(path, columns)
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{path}: no index there: run the stage that writes it (dvc repro)") from None


def rows_of(table: pa.Table, clip_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The numbers of these clips' rows in a table or an index; null where a clip has none."""
    return pc.index_in(clip_ids, value_set=table["clip_id"])


def places(table: pa.Table) -> list[str]:
    """Where the values of an index's shards lie, by their numbers; empty: beside it."""
    return json.loads((table.schema.metadata or {}).get(PLACES, b"[]"))
