"""Which clips go into a data set, with what is known about each, and why each other clip does not."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store import clip_table
from pipeline.store.formats import read_table
from pipeline.store.shards import INDEX, read_index
from pipeline.store.status import OK

CLIPS, SPLITS, QUALITY = (Path(f"data/{name}.parquet") for name in ("clips", "splits", "quality"))
CONTENTS = {  # what of a clip can be packed -> the folder of the stage that wrote it
    "sound": Path("data/wav"),
    "frames": Path("data/frames"),
    "media": Path("data/media"),
}
PATHS = ("audio", "video")  # columns of the clip table: where the files are on this machine
FRAME_TIMES, QUALITY_PREFIX = "frame_times", "quality_"

LEFT_OUT_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("missing", pa.string(), nullable=False),  # `clip`: all of it; or one of CONTENTS
        pa.field("status", pa.string(), nullable=False),  # the reason, from the list of statuses
        pa.field("detail", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Selection:
    """The clips of a data set.

    rows: a row for each clip: the columns of the clip table without paths, `split`, `frame_times`, and the
    columns of the stage `quality`, with a prefix.
    indexes: content -> the rows of its stage's index for these clips, in the same order.
    left_out: a row for each clip that is not packed, and for each content that a packed clip lacks.
    n_other_splits: clips that are not packed because nobody asked for their split.
    n_clips: all clips of the clip table. n_files: the different files that the packed clips are cut from.
    """

    rows: pa.Table
    indexes: dict[str, pa.Table]
    left_out: pa.Table
    n_other_splits: int
    n_clips: int
    n_files: int


def select(contents: Sequence[str], splits: Sequence[str]) -> Selection:
    """Select the clips that have one of these splits and at least one of these contents.

    contents: of CONTENTS; empty: rows without media, of all clips that have a split.
    Raises UserError if a stage did not run for the clips of the clip table, or if no clip is left.
    """
    clips, split_table = clip_table.read(CLIPS), _read_stage_table(SPLITS, "split")
    indexes = {content: read_index(CONTENTS[content]) for content in contents}
    for path, table in ((SPLITS, split_table), *((CONTENTS[c] / INDEX, indexes[c]) for c in contents)):
        if not clips["clip_id"].equals(table["clip_id"]):
            raise UserError(f"{path}: is of other clips than {CLIPS}: run dvc repro")
    has_split = pc.is_valid(split_table["split"])
    is_requested = pc.fill_null(pc.is_in(split_table["split"], pa.array(splits, pa.string())), False)
    is_ok = {content: pc.equal(index["status"], OK) for content, index in indexes.items()}
    is_packed = is_requested
    if contents:
        has_content = is_ok[contents[0]]
        for content in contents[1:]:
            has_content = pc.or_(has_content, is_ok[content])
        is_packed = pc.and_(is_requested, has_content)
    left_out = [_left_out_rows(split_table, pc.invert(has_split), "clip")]
    for content in contents:
        lacks_content = pc.and_(is_requested, pc.invert(is_ok[content]))
        left_out.append(_left_out_rows(indexes[content], pc.and_(lacks_content, is_packed), content))
    if contents:
        lacks_all = pc.and_(is_requested, pc.invert(is_packed))
        left_out.append(_left_out_rows(indexes[contents[0]], lacks_all, "clip"))
    rows = _describe_clips(clips, split_table, indexes).filter(is_packed).combine_chunks()
    if not len(rows):
        raise UserError(f"no clip of {', '.join(splits)} has {' or '.join(contents) or 'a split'}")
    return Selection(
        rows=rows,
        indexes={content: index.filter(is_packed).combine_chunks() for content, index in indexes.items()},
        left_out=pa.concat_tables(left_out).combine_chunks(),
        n_other_splits=pc.sum(pc.and_(has_split, pc.invert(is_requested))).as_py(),
        n_clips=len(clips),
        n_files=len(clips.filter(is_packed).group_by(list(PATHS)).aggregate([])),
    )


def fingerprint(contents: Sequence[str]) -> str:
    """Return a hash of all tables that the data set is made of. They have the digests of all values."""
    tables = [CLIPS, SPLITS, *(CONTENTS[content] / INDEX for content in contents), QUALITY]
    hashes = []
    for path in tables:
        if path != QUALITY or path.exists():
            with open(path, "rb") as f:
                hashes.append(hashlib.file_digest(f, "sha256").hexdigest())
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _describe_clips(clips: pa.Table, splits: pa.Table, indexes: dict[str, pa.Table]) -> pa.Table:
    """Return what is known about each clip, a row for each."""
    table = clips.drop_columns([*PATHS, "split"]).append_column("split", splits["split"])
    if "frames" in indexes:
        table = table.append_column(FRAME_TIMES, indexes["frames"]["times"])
    if QUALITY.exists():
        quality = _read_stage_table(QUALITY, "quality")
        rows = pc.index_in(clips["clip_id"], value_set=quality["clip_id"])
        for name in quality.column_names:
            if name != "clip_id":
                table = table.append_column(f"{QUALITY_PREFIX}{name}", quality[name].take(rows))
    return table.replace_schema_metadata(None)


def _left_out_rows(table: pa.Table, is_left_out: pa.ChunkedArray, missing: str) -> pa.Table:
    """Return the rows of LEFT_OUT_SCHEMA for some clips. table: has their `status` and `detail`."""
    rows = table.select(["clip_id", "status", "detail"]).filter(is_left_out)
    column = pa.array([missing] * len(rows), pa.string())
    return rows.add_column(1, "missing", column).cast(LEFT_OUT_SCHEMA)


def _read_stage_table(path: Path, stage: str) -> pa.Table:
    try:
        return read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro {stage}") from None
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{path}: cannot be read: delete it and run dvc repro {stage}") from None
