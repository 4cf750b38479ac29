"""Embedding extraction: the vectors of windows, as shards and tables of Parquet."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.formats import digest, read_table

WINDOW_COLUMNS = ("clip_id", "path", "start")  # columns beside the vectors
# The sides that each column of vectors is made of.
COLUMN_SIDES = {"audio": ("audio",), "video": ("video",), "both": ("audio", "video")}


class Vectors:
    """The format of the shards: Parquet, a row for each window.

    Columns: clip_id, path, start (s), and the model's columns as fixed_size_list<float32>[dim], null where
    missing.

    A value: {"path", "start": (n,), column: (n, dim) float32, NaN where missing}.
    """

    suffix = ".parquet"

    def write(self, path: Path, clip_ids: list[str], values: list[dict[str, Any]]) -> None:
        empty = pa.schema(
            zip(WINDOW_COLUMNS, (pa.string(), pa.string(), pa.float64()), strict=True)
        ).empty_table()
        tables = [self._rows(clip_id, value) for clip_id, value in zip(clip_ids, values, strict=True)]
        table = pa.concat_tables(tables or [empty])
        with open_writer(path, table.schema) as writer:
            writer.write_table(table)

    @staticmethod
    def _rows(clip_id: str, value: dict[str, Any]) -> pa.Table:
        names = [pa.array([name] * len(value["start"]), pa.string()) for name in (clip_id, value["path"])]
        columns = dict(zip(WINDOW_COLUMNS, [*names, pa.array(value["start"])], strict=True))
        return pa.table(columns | {name: _column(value[name]) for name in value if name in COLUMN_SIDES})

    def read(self, path: Path) -> list[dict[str, Any]]:
        table = read_table(path)
        ids = np.array(table["clip_id"].to_pylist())
        edges: Any = np.flatnonzero(ids[1:] != ids[:-1]) + 1 if len(ids) else []
        arrays = {name: to_array(table[name]) for name in table.column_names if name in COLUMN_SIDES}
        arrays["start"] = table["start"].to_numpy()
        parts = {name: np.split(array, edges) for name, array in arrays.items()}
        first_rows = [0, *edges] if len(ids) else []
        return [
            {"path": table["path"][int(row)].as_py()} | {name: part[i] for name, part in parts.items()}
            for i, row in enumerate(first_rows)
        ]

    @staticmethod
    def digest(value: dict[str, Any]) -> str:
        return digest(*(value[name] for name in sorted(value)))


def _column(vectors: np.ndarray) -> pa.FixedSizeListArray:
    missing = pa.array(np.isnan(vectors[:, 0]))
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=missing)


def to_array(column: pa.ChunkedArray) -> np.ndarray:
    """Convert a column of vectors to (n, dim) float32, NaN where null."""
    vectors = np.full((len(column), column.type.list_size), np.nan, np.float32)
    valid = column.is_valid().to_numpy()
    vectors[valid] = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, vectors.shape[1])
    return vectors


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file for rows of windows."""
    # A dictionary saves space for names, which repeat; vectors do not.
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=["clip_id", "path"])
