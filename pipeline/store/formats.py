"""File formats of the values of shards: arrays of one shape, or encoded files.

Steps import this module and not `shards`: the key of a value contains the code that a step imports, and
neither the storage nor the resumption after a kill changes a value.
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

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # Hugging Face datasets' encoded file
ENCODER = json.JSONEncoder(sort_keys=True, default=str)  # json.dumps would create one for each call


def digest(*parts: Any) -> str:
    """Return a short hash of bytes, arrays and values that JSON can represent."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).data
        elif not isinstance(part, bytes):
            part = ENCODER.encode(part).encode()
        h.update(part)
        h.update(b"\0")
    return h.hexdigest()


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file in this thread only. (pyarrow's own read_table imports pandas, 0.6 s.)"""
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


class Format(Protocol):
    """The file format of the values of one shard. suffix: of the file name."""

    suffix: str

    def write(self, path: Path, clip_ids: list[str], values: list[Any]) -> None:
        """Write the values of these clips."""

    def read(self, path: Path) -> Any:
        """Return the values, by their rows."""

    def digest(self, value: Any) -> str:
        """Return a hash of one value."""


@dataclass(frozen=True)
class Arrays:
    """Values are arrays of one shape: a `.npy` file, read with mmap."""

    shape: tuple[int, ...]
    dtype: str
    suffix = ".npy"

    def write(self, path: Path, clip_ids: list[str], values: list[np.ndarray]) -> None:
        # Not a memory map, with which a full disk causes a SIGBUS instead of an OSError.
        with open(path, "wb") as f:
            header = {"descr": np.dtype(self.dtype).str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(f, header | {"shape": (len(values), *self.shape)})
            for value in values:
                if value.shape != self.shape or value.dtype != np.dtype(self.dtype):
                    raise ValueError(f"expected {self.shape} {self.dtype}, got {value.shape} {value.dtype}")
                f.write(np.ascontiguousarray(value).data)

    def read(self, path: Path) -> np.ndarray:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape[1:] != self.shape or array.dtype != np.dtype(self.dtype):
            raise UserError(f"{path}: holds {array.shape[1:]} {array.dtype}, not {self.shape} {self.dtype}")
        return array

    @staticmethod
    def digest(value: np.ndarray) -> str:
        return digest(value)


@dataclass(frozen=True)
class Files:
    """Values are encoded files: a Parquet file with the columns that Hugging Face `datasets` plays.

    With one column (`audio`) a value is its bytes. With several, a value is a dictionary of
    `{"bytes": ..., "path": ...}`; bytes are null if the file is not copied and is read from its path.
    """

    columns: tuple[str, ...]
    suffix = ".parquet"

    def write(self, path: Path, clip_ids: list[str], values: list[Any]) -> None:
        types = {"audio": {"_type": "Audio"}, "video": {"_type": "Video"}}
        features = {"clip_id": {"dtype": "string", "_type": "Value"}} | {c: types[c] for c in self.columns}
        schema = pa.schema(
            [("clip_id", pa.string()), *((c, FILE) for c in self.columns)],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        if len(self.columns) == 1:
            values = [
                {self.columns[0]: {"bytes": v, "path": f"{i}.wav"}}
                for i, v in zip(clip_ids, values, strict=True)
            ]
        rows = [{"clip_id": i, **v} for i, v in zip(clip_ids, values, strict=True)]
        # The bytes are compressed media and all different: compression or a dictionary would not help.
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, path, compression="none", use_dictionary=False)

    def read(self, path: Path) -> list[Any]:
        table = read_table(path, columns=list(self.columns))
        if len(self.columns) == 1:
            return [v["bytes"] for v in table[self.columns[0]].to_pylist()]
        return table.to_pylist()

    @staticmethod
    def digest(value: Any) -> str:
        return digest(value) if isinstance(value, bytes) else digest(*_flatten(value))


def _flatten(value: dict) -> Iterator[Any]:
    for column, file in sorted(value.items()):
        yield from (column, (file or {}).get("bytes") or b"", (file or {}).get("path"))


@dataclass(frozen=True)
class Layout:
    """The layout of the shards of one data stage.

    folder: of the shards, or of their indexes only if there is a storage. extra: further columns of the
    index.
    """

    folder: Path
    format: Format
    extra: tuple[tuple[str, pa.DataType], ...] = ()
