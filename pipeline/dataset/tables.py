"""The tables of a data set: which clips are usable, and a hash of what they are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store.clip_table import SIDE_TIMES
from pipeline.store.formats import digest, read_table
from pipeline.store.shards import read_index, row_numbers
from pipeline.store.status import NO_SOURCE, OK

DIGEST_BLOCK = 65_536  # rows converted to Python objects at a time
SPLIT_COLUMNS = ["clip_id", "split", "group", "recording"]
INDEX_COLUMNS = ["clip_id", "shard", "row", "status", "digest", "seconds"]
# Columns of the clip table that label nothing.
NOT_LABELS = {"clip_id", "audio", "video", "start", "end", "split", *SIDE_TIMES}


class UsableRows(NamedTuple):
    """The rows of the usable clips in four tables, in the same order.

    splits: of the stage split. audio, video: of the indexes of spectrograms and of pictures. clips: of the
    clip table, only the columns that may label clips. A value of `audio` or `video` is null for a clip that
    lacks this side.
    """

    splits: pa.Table
    audio: pa.Table
    video: pa.Table
    clips: pa.Table

    def digest(self) -> str:
        """Return a hash of everything in the data set: table values, and digests of the stored arrays."""
        columns = [
            *self.splits.columns, *self.clips.columns, self.audio["digest"], self.video["digest"]
        ]  # fmt: skip
        # Columns are named by number: a column of the source may have any name.
        content = pa.table(columns, [str(i) for i in range(len(columns))])
        blocks = (content.slice(i, DIGEST_BLOCK).to_pylist() for i in range(0, len(content), DIGEST_BLOCK))
        return digest(self.clips.column_names, *blocks)


def read_usable_rows(
    folder: Path,
    audio_folder: Path,
    video_folder: Path,
    sides: tuple[str, ...],
    no_source: bool = False,
) -> UsableRows:
    """Read the rows of the clips that have a split and whose sides are ok.

    sides: which they must have, "audio", "video" or both. no_source: instead of the clips that have a split,
    those with the status NO_SOURCE.
    Raises UserError if a table is missing, or if no clip is usable.
    """
    path = folder / "splits.parquet"
    split_rows = _read_table(path, SPLIT_COLUMNS)
    if no_source:
        split_rows = split_rows.filter(_is_without_source(folder))
    else:
        split_rows = split_rows.filter(pc.is_valid(split_rows["split"]))
    audio_index = read_index(audio_folder, INDEX_COLUMNS)
    video_index = read_index(video_folder, [*INDEX_COLUMNS, "times"])
    clip_table = _read_table(folder / "clips.parquet")
    # The row of each clip in these tables, null if it has none.
    audio_rows = row_numbers(audio_index, split_rows["clip_id"])
    video_rows = row_numbers(video_index, split_rows["clip_id"])
    clip_rows = row_numbers(clip_table, split_rows["clip_id"])
    is_usable = pc.is_valid(clip_rows)
    for side, index, rows in (("audio", audio_index, audio_rows), ("video", video_index, video_rows)):
        if side in sides:
            is_ok = pc.equal(index["status"].take(rows), OK)
            is_usable = pc.and_(is_usable, pc.fill_null(is_ok, False))
    split_rows = split_rows.filter(is_usable)
    if not len(split_rows):
        needs = (
            "both sound and picture"
            if len(sides) == 2
            else {"audio": "a sound", "video": "a picture"}[sides[0]]
        )
        raise UserError(f"{path}: no clip has {needs}: see status and detail in that table")
    label_columns = [name for name in clip_table.column_names if name not in NOT_LABELS]
    return UsableRows(
        split_rows,
        audio_index.take(audio_rows.filter(is_usable)),
        video_index.take(video_rows.filter(is_usable)),
        clip_table.take(clip_rows.filter(is_usable)).select(label_columns),
    )


def has_no_source(folder: str | Path) -> bool:
    """Return whether any clip in splits.parquet has the status NO_SOURCE: nothing in view makes its sound."""
    return bool(pc.any(_is_without_source(Path(folder))).as_py())


def _is_without_source(folder: Path) -> pa.ChunkedArray:
    """Return whether each clip in splits.parquet has the status NO_SOURCE."""
    return pc.equal(_read_table(folder / "splits.parquet", ["status"])["status"], NO_SOURCE)


def rank_names(names: pa.ChunkedArray) -> np.ndarray:
    """Replace each name by its rank in alphabetical order."""
    encoded = names.combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), int)
    rank[pc.sort_indices(encoded.dictionary)] = np.arange(len(rank))
    return rank[encoded.indices]


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file; None: all its columns. Raises UserError if it is missing or unreadable."""
    try:
        return read_table(path, columns)
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro") from None
    except (OSError, ValueError) as e:  # pyarrow's errors are subclasses of ValueError
        raise UserError(f"{path}: cannot be read ({str(e).splitlines()[0]}): run dvc repro") from None
