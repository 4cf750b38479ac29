"""The clip table, `data/clips.parquet`, with one row per clip: its columns, and what makes it valid."""

import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store.formats import read_table

SPLITS = ("train", "val", "test")
CLIP_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")  # safe as a file name on every system

# Columns that a source may add, for clips whose sound and picture are at different times of their files (s):
# those of a side count in place of `start` and `end`, unless both are null.
SIDE_TIMES = ("audio_start", "audio_end", "video_start", "video_end")

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("audio", pa.string()),  # path or URL of the sound; null: no sound
        pa.field("video", pa.string()),  # path or URL of the picture, usually the same file; null: no picture
        pa.field("start", pa.float64()),  # seconds; null: from the beginning
        pa.field("end", pa.float64()),  # seconds; null: to the end
        pa.field("labels", pa.list_(pa.string())),
        pa.field("subject", pa.string()),
        pa.field("split", pa.string()),  # of the source, or null
    ]
)


def validate(table: pa.Table, where: str) -> pa.Table:
    """Return `table` as it is if it is a valid clip table. Raise UserError with the first problem otherwise.

    where: what the message calls the table: a path or the name of a source. Columns after those of SCHEMA
    belong to the source and are not checked.
    """
    first_fields = pa.schema(list(table.schema)[: len(SCHEMA)])
    if not first_fields.equals(SCHEMA):
        raise UserError(f"{where}: not a clip table: columns must begin with {', '.join(SCHEMA.names)}")
    ids = table["clip_id"].to_pylist()
    unsafe_ids = [clip_id for clip_id in ids if clip_id is None or not CLIP_ID.fullmatch(clip_id)]
    if unsafe_ids:
        raise UserError(
            f"{where}: clip_id {unsafe_ids[0]!r} is not safe as a file name: use letters, digits, _ . -"
        )
    if len(set(ids)) != len(ids):
        duplicate = next(clip_id for clip_id, count in Counter(ids).items() if count > 1)
        raise UserError(f"{where}: clip_id {duplicate!r} occurs twice: every clip needs a unique id")
    unknown_splits = set(pc.unique(table["split"]).to_pylist()) - {None, *SPLITS}
    if unknown_splits:
        raise UserError(
            f"{where}: unknown split {sorted(unknown_splits)[0]!r}: use {', '.join(SPLITS)} or none"
        )
    prefixes = ["", *(prefix for prefix in ("audio_", "video_") if f"{prefix}start" in table.column_names)]
    for name in (f"{prefix}{edge}" for prefix in prefixes for edge in ("start", "end")):
        times = table[name]
        is_invalid = pc.or_(pc.invert(pc.is_finite(times)), pc.less(times, 0.0))  # null for null
        if pc.any(is_invalid).as_py():
            row = is_invalid.to_pylist().index(True)
            raise UserError(f"{where}: clip {ids[row]!r}: {name} is {times[row]} s: use 0 or more, or null")
    for prefix in prefixes:
        ends = table[f"{prefix}end"]
        is_empty = pc.less_equal(ends, pc.fill_null(table[f"{prefix}start"], 0.0))
        if pc.any(is_empty).as_py():
            row = is_empty.to_pylist().index(True)
            raise UserError(f"{where}: clip {ids[row]!r} ends at {ends[row]} s, before it starts")
    return table


def read(path: str | Path) -> pa.Table:
    """Return the clip table in the file `path`. Raise UserError if it is missing or invalid."""
    try:
        table = read_table(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such clip table: run the stage clips first") from None
    except (pa.ArrowInvalid, OSError) as e:
        raise UserError(f"{path}: not a Parquet file that can be read ({str(e).splitlines()[0]})") from None
    return validate(table, str(path))


def from_rows(rows: list[dict], extra: pa.Schema | None = None) -> pa.Table:
    """Return the clip table with these rows. Raise UserError if it is invalid.

    rows: for each clip, the values by the names of the columns; a missing value is null. extra: columns of
    the source, which follow those of SCHEMA.
    """
    schema = pa.schema([*SCHEMA, *(extra or [])])
    return validate(pa.Table.from_pylist(rows, schema=schema), "clip table")
