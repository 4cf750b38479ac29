"""Files that are whole or not there: written under another name, synced, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PARTS: set[Path] = set()  # what this process is writing now


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` once the block ends well: synced, then renamed."""
    # The process's number alone would not do: on a shared file system two machines may have the same.
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    PARTS.add(part)
    try:
        yield part
        with open(part, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        PARTS.discard(part)


def abandon() -> None:
    """Delete what this process is writing, since it is about to end in the middle of it."""
    for part in [*PARTS]:
        part.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make `target` the file `source` too: a hard link, or a copy where the file system has none."""
    with written(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def write_table(table: pa.Table, path: Path) -> None:
    with written(path) as part:
        pq.write_table(table, part)
