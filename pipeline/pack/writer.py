"""Write the shards of a data set in one pass over the clips. A run that was killed continues.

A shard appears in `data/` when it is complete. A record of it in `.pack/` then says with which row the next
shard of its split begins. Where a shard ends depends on the clips alone, so a continued run writes the same
bytes as an uninterrupted one.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.pack.selection import Selection, fingerprint
from pipeline.pack.shard_files import FORMATS
from pipeline.pack.values import Sample, read_samples
from pipeline.store.atomic import atomic_write
from pipeline.store.clip_table import SPLITS

STATE, SETTINGS, DATA = ".pack", "settings.json", "data"
LAYOUT_VERSION = 1  # a new one if the same clips are packed into other bytes
MB = 10**6
ROW_BYTES = 1000  # what a clip without media counts as: its row, and the headers in a tar


@dataclass(frozen=True)
class Settings:
    """What is packed, and how.

    format: a key of FORMATS. contents: of CONTENTS. splits: in the order of SPLITS. shard_clips, shard_mb: a
    shard ends before it has more clips, or more MB; None: no limit.
    """

    format: str
    contents: tuple[str, ...]
    splits: tuple[str, ...] = SPLITS
    shard_clips: int | None = None
    shard_mb: float | None = None


@dataclass(frozen=True)
class Record:
    """A finished shard.

    next_row: the row of the selection after its last clip. members: the names of its clips' files.
    """

    name: str
    split: str
    n_clips: int
    n_bytes: int
    sha256: str
    next_row: int
    members: list[str]


def write(selection: Selection, settings: Settings, out: Path) -> list[Record]:
    """Write the shards that are missing in the folder `out`. Return the records of all, split by split.

    Raises UserError if `out` belongs to a pack of other clips or settings, or a clip cannot be read.
    """
    _check_settings(settings, out)
    for folder in (out, out / STATE, out / DATA):
        for leftover in folder.glob(".*.tmp"):  # of a run that was killed
            leftover.unlink()
    records = {split: _read_records(out, split) for split in settings.splits}
    splits = selection.rows["split"].to_pylist()
    last_rows = {split: row for row, split in enumerate(splits)}
    next_rows = {split: records[split][-1].next_row if records[split] else 0 for split in last_rows}
    unfinished = [next_rows[split] for split, last_row in last_rows.items() if next_rows[split] <= last_row]
    if unfinished:
        with ExitStack() as stack:
            writers = {
                split: _SplitWriter(selection, settings, out, split, records[split], stack)
                for split in last_rows
            }
            _write_clips(read_samples(selection, min(unfinished)), min(unfinished), writers, next_rows)
            for writer in writers.values():
                writer.finish_shard(len(splits))
    return [record for split in settings.splits for record in records[split]]


def _write_clips(
    samples: Iterable[Sample],
    first_row: int,
    writers: dict[str, "_SplitWriter"],
    next_rows: dict[str, int],
) -> None:
    """Write clips that no finished shard has. first_row: of the first. next_rows: the first one, by split."""
    for row, sample in enumerate(samples, first_row):
        split = sample.row["split"]
        if row >= next_rows[split]:
            writers[split].add(sample, row)


@dataclass
class _SplitWriter:
    """Writes the shards of one split, one after the other. stack: closes and deletes an unfinished one."""

    selection: Selection
    settings: Settings
    out: Path
    split: str
    records: list[Record]
    stack: ExitStack
    _shard: Any = None
    _n_clips: int = 0
    _n_bytes: int = 0
    _members: set[str] = field(default_factory=set)

    def add(self, sample: Sample, row: int) -> None:
        """Write a clip. row: its row of the selection. A full shard is finished before."""
        limits, n_bytes = self.settings, sample.n_bytes + ROW_BYTES
        is_full = self._n_clips == limits.shard_clips or (
            limits.shard_mb is not None and self._n_bytes + n_bytes > limits.shard_mb * MB
        )
        if self._n_clips and is_full:
            self.finish_shard(row)
        if self._shard is None:
            self._start_shard()
        self._members |= set(self._shard.add(sample))
        self._n_clips += 1
        self._n_bytes += n_bytes

    def _start_shard(self) -> None:
        file_type = FORMATS[self.settings.format]
        name = f"{self.split}-{len(self.records):05d}{file_type.suffix}"
        self._write = self.stack.enter_context(ExitStack())
        self._path = self.out / DATA / name
        temporary_path = self._write.enter_context(atomic_write(self._path))
        self._shard = file_type(temporary_path, self.selection.rows.schema, self.settings.contents)

    def finish_shard(self, next_row: int) -> None:
        """Finish the current shard, if there is one. next_row: the row after its last clip."""
        if self._shard is None:
            return
        self._shard.close()
        self._write.close()  # renames the file
        with open(self._path, "rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
        record = Record(
            name=self._path.name,
            split=self.split,
            n_clips=self._n_clips,
            n_bytes=self._path.stat().st_size,
            sha256=sha256,
            next_row=next_row,
            members=sorted(self._members),
        )
        _write_json(_record_path(self.out, self.split, len(self.records)), asdict(record))
        self.records.append(record)
        self._shard, self._n_clips, self._n_bytes, self._members = None, 0, 0, set()


def _check_settings(settings: Settings, out: Path) -> None:
    """Note in `out` what is packed there. Raises UserError if something else is packed there already."""
    path = out / STATE / SETTINGS
    content = {"layout": LAYOUT_VERSION, **asdict(settings), "data": fingerprint(settings.contents)}
    content = json.loads(json.dumps(content))  # as it is read back
    if path.exists():
        if _read_json(path) != content:
            raise UserError(
                f"{out}: has a data set of other clips or other options: choose another OUT, or delete it"
            )
    else:
        (out / DATA).mkdir(exist_ok=True)
        _write_json(path, content)


def _read_records(out: Path, split: str) -> list[Record]:
    """Return the records of the finished shards of a split, up to the first one that is not there."""
    records: list[Record] = []
    while content := _read_json(_record_path(out, split, len(records))):
        path = out / DATA / content["name"]
        if not path.exists() or path.stat().st_size != content["n_bytes"]:
            break
        records.append(Record(**content))
    return records


def _record_path(out: Path, split: str, number: int) -> Path:
    return out / STATE / f"{split}-{number:05d}.json"


def _read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it does not exist or is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
