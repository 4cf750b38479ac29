"""Atomic writes: a file is written under a temporary name, synced, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TEMPORARY_FILES: set[Path] = set()  # those that this process is writing now


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` when the `with` block ends without an error.

    After an error the temporary file is deleted, and `path` is as before.
    """
    # The process id alone is not unique: on a shared file system two machines may use the same one.
    temporary_path = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    TEMPORARY_FILES.add(temporary_path)
    try:
        yield temporary_path
        with open(temporary_path, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary_path, path)
    finally:
        temporary_path.unlink(missing_ok=True)
        TEMPORARY_FILES.discard(temporary_path)


def delete_temporary_files() -> None:
    """Delete the temporary files that this process is writing. Call it before an exit by `os._exit`."""
    for path in [*TEMPORARY_FILES]:
        path.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Create `target` as a hard link to `source`, or as a copy if the file system has no hard links."""
    with atomic_write(target) as temporary_path:
        try:
            os.link(source, temporary_path)
        except OSError:
            shutil.copyfile(source, temporary_path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as a Parquet file, atomically."""
    with atomic_write(path) as temporary_path:
        pq.write_table(table, temporary_path)
