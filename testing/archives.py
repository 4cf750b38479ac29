"""Tars and Parquet files for tests."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_tar(path: Path, members: list[tuple[str, bytes]], tar_format: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar. members: (name, content), in their order."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(
    path: Path, rows: list[dict[str, Any]], files: tuple[str, ...], group_size: int = 4, **options: Any
) -> Path:
    """Write a Parquet file. files: the columns that are structs of bytes and path. options: of pyarrow."""
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        columns[name] = pa.array(values, FILE) if name in files else pa.array(values)
    pq.write_table(pa.table(columns), path, row_group_size=group_size, **options)
    return path
