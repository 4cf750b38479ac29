"""Copy shards from `engine.storage` in a separate process: that of the page must not open connections.

The locations of the shards come from the indexes of the project, never from a browser.
"""

import multiprocessing
import signal
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from pipeline.engine.workers import watch_parent
from pipeline.errors import UserError
from pipeline.store import storage

TIMEOUT_SECONDS = 60.0  # for one shard


class StorageProcess:
    """Copy shards to this machine, in another process, which starts when it is first needed.

    pool: a pebble pool of that one process. If the process crashes, the pool starts a new one.
    """

    def __init__(self) -> None:
        self.pool = ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=_initialize_process,
        )

    def copy_shard(self, location: str) -> Path:
        """Return the path of a local file with the content of a shard; a remote shard is copied first.

        location: a path, or a URL such as s3://bucket/file. Raises UserError if the shard cannot be copied
        within TIMEOUT_SECONDS.
        """
        future = self.pool.schedule(storage.local_path, args=[location], timeout=TIMEOUT_SECONDS)
        try:
            return future.result()
        except FutureTimeout:
            raise UserError(f"engine.storage: {location}: no answer within {TIMEOUT_SECONDS:g} s") from None
        except ProcessExpired:
            raise UserError(f"engine.storage: {location}: the process that copied it crashed") from None

    def close(self) -> None:
        """Stop the process. A copy that is not finished is cancelled."""
        self.pool.stop()
        self.pool.join()


def _initialize_process() -> None:
    """Prepare the process: it ignores Ctrl-C, and ends when the page's process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent()
