"""Copy shards from `engine.storage` in a separate process: that of the page must not open connections.

The project's indexes name the shards, never a browser.
"""

import multiprocessing
import signal
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError
from pipeline.store import storage

SECONDS = 60.0  # timeout for one shard


class StorageProcess:
    """Run `storage.local_path` in another process, which starts when it is first needed."""

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn"), initializer=_start
        )

    def local(self, place: str) -> Path:
        """Copy a shard, as pipeline.store.storage.local_path. Raises UserError if that takes too long."""
        future = self.pool.schedule(storage.local_path, args=[place], timeout=SECONDS)
        try:
            return future.result()
        except FutureTimeout:
            raise UserError(f"engine.storage: {place}: no answer within {SECONDS:g} s") from None
        except ProcessExpired:
            raise UserError(f"engine.storage: {place}: the process that copied it crashed") from None

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
