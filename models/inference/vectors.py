"""Embedding extraction: the file format of the vectors of windows, in Parquet."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.formats import digest, read_table

WINDOW_COLUMNS = ("clip_id", "path", "start")  # columns beside the vectors
# Column of vectors -> the sides of a file that its vectors are made of.
COLUMN_SIDES = {"audio": ("audio",), "video": ("video",), "both": ("audio", "video")}


class Vectors:
    """The format of the shards: Parquet, a row for each window.

    Columns of a file: clip_id, path, start (seconds), and the vectors: audio and video, one of these, or
    both, as fixed_size_list<float32>[dim], null where missing.

    In Python, a clip's value is a dictionary: "path"; "start", (n,) of its n windows; and for each column of
    vectors (n, dim) float32, NaN where missing.
    """

    suffix = ".parquet"

    def write(self, path: Path, clip_ids: list[str], values: list[dict[str, Any]]) -> None:
        """Write one shard: the values of its clips."""
        empty = pa.schema(
            zip(WINDOW_COLUMNS, (pa.string(), pa.string(), pa.float64()), strict=True)
        ).empty_table()
        tables = [self._to_table(clip_id, value) for clip_id, value in zip(clip_ids, values, strict=True)]
        table = pa.concat_tables(tables or [empty])
        with open_writer(path, table.schema) as writer:
            writer.write_table(table)

    @staticmethod
    def _to_table(clip_id: str, value: dict[str, Any]) -> pa.Table:
        """Return the rows of one clip."""
        n_windows = len(value["start"])
        columns = {
            "clip_id": pa.array([clip_id] * n_windows, pa.string()),
            "path": pa.array([value["path"]] * n_windows, pa.string()),
            "start": pa.array(value["start"]),
        }
        return pa.table(columns | {name: _to_column(value[name]) for name in value if name in COLUMN_SIDES})

    def read(self, path: Path) -> list[dict[str, Any]]:
        """Read the values of all clips of one shard."""
        table = read_table(path)
        clip_ids = np.array(table["clip_id"].to_pylist())
        if not len(clip_ids):
            return []
        # The rows of a clip stand together: another clip begins where the clip_id changes.
        boundaries = np.flatnonzero(clip_ids[1:] != clip_ids[:-1]) + 1
        arrays = {name: to_array(table[name]) for name in table.column_names if name in COLUMN_SIDES}
        arrays["start"] = table["start"].to_numpy()
        clip_arrays = {name: np.split(array, boundaries) for name, array in arrays.items()}
        values = []
        for i, first_row in enumerate([0, *boundaries]):
            value = {"path": table["path"][int(first_row)].as_py()}
            values.append(value | {name: parts[i] for name, parts in clip_arrays.items()})
        return values

    @staticmethod
    def digest(value: dict[str, Any]) -> str:
        """Return a hash of a clip's value."""
        return digest(*(value[name] for name in sorted(value)))


def _to_column(vectors: np.ndarray) -> pa.FixedSizeListArray:
    """Convert vectors (n, dim), NaN where missing, to a column that is null there."""
    missing = pa.array(np.isnan(vectors[:, 0]))
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=missing)


def to_array(column: pa.ChunkedArray) -> np.ndarray:
    """Convert a column of vectors of length dim to (n, dim) float32, NaN where null."""
    vectors = np.full((len(column), column.type.list_size), np.nan, np.float32)
    valid = column.is_valid().to_numpy()
    vectors[valid] = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, vectors.shape[1])
    return vectors


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file to write rows of windows."""
    # Dictionary encoding saves space for names, which are the same in many rows. Vectors are not.
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=["clip_id", "path"])
