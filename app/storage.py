"""Copies of shards from `engine.storage`, by a process of their own: that of the page opens no connection.

What is fetched is named by the indexes of the project, never by a browser.
"""

import multiprocessing
import signal
from concurrent.futures import TimeoutError as OutOfTime
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError
from pipeline.store import storage

SECONDS = 60.0  # for one shard


class StorageProcess:
    """`storage.local_path` in another process, which starts when it is first needed."""

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn"), initializer=_start
        )

    def local(self, place: str) -> Path:
        """As of pipeline.store.storage. Raises UserError where the storage does not answer in time."""
        future = self.pool.schedule(storage.local_path, args=[place], timeout=SECONDS)
        try:
            return future.result()
        except OutOfTime:
            raise UserError(f"engine.storage: {place}: no answer within {SECONDS:g} s") from None
        except ProcessExpired:
            raise UserError(f"engine.storage: {place}: the process that fetched it ended") from None

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
