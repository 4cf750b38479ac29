"""File formats of shards: one file holds the values of many clips, as arrays of one shape or encoded files.

Steps import this module and not pipeline/store/shards.py: the key of a value contains the code that its step
imports. The code of `shards` changes no value, so a change of it must not change the keys.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError

# The type of a column of encoded files, as Hugging Face `datasets` reads it.
ENCODED_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
JSON_ENCODER = json.JSONEncoder(sort_keys=True, default=str)  # json.dumps would create one for each call


def digest(*parts: Any) -> str:
    """Return a short hash of all parts in this order: bytes, arrays, or values that JSON can represent.

    Other objects inside such a value are represented by their text (`str`).
    """
    content_hash = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).data
        elif not isinstance(part, bytes):
            part = JSON_ENCODER.encode(part).encode()
        content_hash.update(part)
        content_hash.update(b"\0")
    return content_hash.hexdigest()


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file as a table. columns: the names of those to read; None: all.

    Unlike `pyarrow.parquet.read_table`, it starts no threads and does not import pandas, which takes 0.6 s.
    """
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


class Format(Protocol):
    """The format of the file that holds the values of one shard. suffix: the end of the file's name."""

    suffix: str

    def write(self, path: Path, clip_ids: list[str], values: list[Any]) -> None:
        """Write a file with one value for each of these clips."""

    def read(self, path: Path) -> Any:
        """Return the values of a file, in the order in which they were written, as a list or an array."""

    def digest(self, value: Any) -> str:
        """Return a hash of the value of one clip."""


@dataclass(frozen=True)
class Arrays:
    """Each value is an array of the same shape and dtype; a shard is a `.npy` file, read with mmap."""

    shape: tuple[int, ...]
    dtype: str
    suffix = ".npy"

    def write(self, path: Path, clip_ids: list[str], values: list[np.ndarray]) -> None:
        """Write the values as one array of shape (n, *shape). Raises ValueError for one of another shape."""
        # Not a memory map, with which a full disk causes a SIGBUS instead of an OSError.
        with open(path, "wb") as f:
            header = {"descr": np.dtype(self.dtype).str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(f, header | {"shape": (len(values), *self.shape)})
            for value in values:
                if value.shape != self.shape or value.dtype != np.dtype(self.dtype):
                    raise ValueError(f"expected {self.shape} {self.dtype}, got {value.shape} {value.dtype}")
                f.write(np.ascontiguousarray(value).data)

    def read(self, path: Path) -> np.ndarray:
        """Return the array of a file, mapped into memory. Raises UserError for another shape."""
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape[1:] != self.shape or array.dtype != np.dtype(self.dtype):
            raise UserError(f"{path}: holds {array.shape[1:]} {array.dtype}, not {self.shape} {self.dtype}")
        return array

    @staticmethod
    def digest(value: np.ndarray) -> str:
        """Return a hash of one array."""
        return digest(value)


@dataclass(frozen=True)
class Files:
    """Each value is one or more encoded media files; a shard is a Parquet file.

    columns: `audio`, `video` or both, with one file of each clip. With one column, a value is the bytes of
    the file. With both, a value is a dictionary: column -> {"bytes": ..., "path": ...}; the bytes are None if
    the file is not copied and is read from its path. Hugging Face `datasets` plays both columns.
    """

    columns: tuple[str, ...]
    suffix = ".parquet"

    def write(self, path: Path, clip_ids: list[str], values: list[Any]) -> None:
        """Write the values of these clips, with the metadata by which `datasets` knows how to play them."""
        types = {"audio": {"_type": "Audio"}, "video": {"_type": "Video"}}
        features = {"clip_id": {"dtype": "string", "_type": "Value"}}
        features |= {column: types[column] for column in self.columns}
        schema = pa.schema(
            [("clip_id", pa.string()), *((column, ENCODED_FILE) for column in self.columns)],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        rows = []
        for clip_id, value in zip(clip_ids, values, strict=True):
            if len(self.columns) == 1:
                value = {self.columns[0]: {"bytes": value, "path": f"{clip_id}.wav"}}
            rows.append({"clip_id": clip_id, **value})
        # The bytes are compressed media and all different: compression or a dictionary would not help.
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, path, compression="none", use_dictionary=False)

    def read(self, path: Path) -> list[Any]:
        """Return the values of a file, one per row."""
        table = read_table(path, columns=list(self.columns))
        if len(self.columns) == 1:
            return [file["bytes"] for file in table[self.columns[0]].to_pylist()]
        return table.to_pylist()

    @staticmethod
    def digest(value: Any) -> str:
        """Return a hash of one value: the bytes of a file, or a dictionary of files."""
        return digest(value) if isinstance(value, bytes) else digest(*_flatten(value))


def _flatten(files_by_column: dict) -> Iterator[Any]:
    """Yield the name, the bytes and the path of each file of a value, in alphabetical order of the columns.

    The bytes are empty and the path is None where there is none.
    """
    for column, file in sorted(files_by_column.items()):
        file = file or {}
        yield column
        yield file.get("bytes") or b""
        yield file.get("path")


@dataclass(frozen=True)
class Layout:
    """What the output of a data stage looks like.

    folder: where its indexes are, and its shards unless they are in `engine.storage`.
    format: of the values.
    extra: names and types of the columns that this stage adds to the index.
    """

    folder: Path
    format: Format
    extra: tuple[tuple[str, pa.DataType], ...] = ()
