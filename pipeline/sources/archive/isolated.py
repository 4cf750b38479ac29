"""List Parquet files in processes of their own: pyarrow may crash on a damaged file, or use all memory."""

import os

from pebble import ProcessExpired

from pipeline.engine.limits import limit_process
from pipeline.engine.workers import Workers, watch_parent, worker_context
from pipeline.errors import UserError
from pipeline.sources.archive import parquet_clips
from pipeline.sources.archive.entries import Entry
from pipeline.store.arrow import skip_pandas_import

MEMORY = 4 << 30  # bytes that a process may allocate
FILE_SIZE = 1 << 20  # bytes of a file that it may write: it writes none
MAX_WORKERS = 8


def list_parquet_clips(archives: list[str]) -> list[tuple[list[Entry], list[str]]]:
    """Return what `parquet_clips.list_clips` returns of each archive.

    Raises UserError if one cannot be read, or if its reader crashes.
    """
    if not archives:
        return []
    results = []
    with Workers(
        max_workers=min(len(archives), os.cpu_count() or 1, MAX_WORKERS),
        context=worker_context([parquet_clips.__name__]),
        initializer=_start_worker,
        initargs=[os.getcwd(), dict(os.environ)],
    ) as pool:
        futures = [pool.schedule(parquet_clips.list_clips, args=[archive]) for archive in archives]
        for archive, future in zip(archives, futures, strict=True):
            try:
                results.append(pool.result(future))
            except (ProcessExpired, MemoryError):
                raise UserError(
                    f"{archive}: so damaged that its reader crashed: download it again, or leave it out"
                ) from None
    return results


def _start_worker(folder: str, environment: dict[str, str]) -> None:
    """Prepare a new process. folder, environment: of the parent now, not when its first worker started."""
    os.chdir(folder)
    os.environ.update(environment)
    limit_process(MEMORY, FILE_SIZE)
    skip_pandas_import()
    watch_parent()
