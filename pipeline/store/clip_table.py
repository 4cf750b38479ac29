"""The clip table: `data/clips.parquet`, a row per clip, read and written through here only."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store.formats import read_table

SPLITS = ("train", "val", "test")
CLIP_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")  # safe as a file name on every system

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("audio", pa.string()),  # where its sound is: a path or URL, null where there is none
        pa.field("video", pa.string()),  # where its picture is: the same file for an ordinary clip
        pa.field("start", pa.float64()),  # seconds; null: from the beginning
        pa.field("end", pa.float64()),  # seconds; null: to the end
        pa.field("labels", pa.list_(pa.string())),
        pa.field("subject", pa.string()),
        pa.field("split", pa.string()),  # the source's own, or null
    ]
)


def check(table: pa.Table, where: str) -> pa.Table:
    """Return `table` if it is a clip table; raise UserError that says what is wrong in `where` if not.

    Columns after those of SCHEMA are a source's own and are left as they are.
    """
    head = table.schema.names[: len(SCHEMA)]
    if head != SCHEMA.names or not pa.schema(list(table.schema)[: len(SCHEMA)]).equals(SCHEMA):
        raise UserError(f"{where}: not a clip table: columns must begin with {', '.join(SCHEMA.names)}")
    ids = table["clip_id"].to_pylist()
    bad = [i for i in ids if i is None or not CLIP_ID.fullmatch(i)]
    if bad:
        raise UserError(f"{where}: clip_id {bad[0]!r} is not safe as a file name: use letters, digits, _ . -")
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]  # falsy
        raise UserError(f"{where}: clip_id {twice!r} stands twice: every clip needs an id of its own")
    splits = set(pc.unique(table["split"]).to_pylist()) - {None, *SPLITS}
    if splits:
        raise UserError(f"{where}: unknown split {sorted(splits)[0]!r}: use {', '.join(SPLITS)} or none")
    for name in ("start", "end"):
        wrong = pc.or_(pc.invert(pc.is_finite(table[name])), pc.less(table[name], 0.0))
        if pc.any(wrong).as_py():
            row = wrong.to_pylist().index(True)
            raise UserError(
                f"{where}: clip {ids[row]!r}: {name} is {table[name][row]} s: use 0 or more, or null"
            )
    ends = pc.less_equal(table["end"], pc.fill_null(table["start"], 0.0))
    if pc.any(ends).as_py():
        row = ends.to_pylist().index(True)
        raise UserError(f"{where}: clip {ids[row]!r} ends at {table['end'][row]} s, before it starts")
    return table


def read(path: str | Path) -> pa.Table:
    """The clip table at `path`, checked."""
    try:
        table = read_table(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such clip table: run the stage clips first") from None
    except (pa.ArrowInvalid, OSError) as e:
        raise UserError(f"{path}: not a Parquet file that can be read ({str(e).splitlines()[0]})") from None
    return check(table, str(path))


def from_rows(rows: list[dict], extra: pa.Schema | None = None) -> pa.Table:
    """A checked clip table from dictionaries; `extra` are the source's own columns."""
    schema = pa.schema([*SCHEMA, *(extra or [])])
    return check(pa.Table.from_pylist(rows, schema=schema), "clip table")
