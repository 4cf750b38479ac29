"""Worker processes of this machine for work that may crash, hang or use too much memory."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from pebble import ProcessPool
from pebble.pool.process import WORKERS_NAME

from pipeline.store.atomic import delete_temporary_files

POLL_INTERVAL = 0.1  # s between checks for Ctrl-C


class Workers(ProcessPool):
    """Pebble's pool for one run: at the end of its context it cancels all tasks that are not done.

    Inside the context, the handler of Ctrl-C only sets a flag, and `wait_any` raises KeyboardInterrupt. An
    exception at any other place could leave a lock held that threads of the pool wait for, and the run would
    never end: `concurrent.futures.wait` acquires a lock of each future.
    """

    def __enter__(self) -> "Workers":
        self.interrupted = False
        self.previous_handler = signal.getsignal(signal.SIGINT)
        if callable(self.previous_handler):  # it is not if SIGINT is ignored, as under nohup
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True

    def __exit__(self, exception_type: type | None, *_: Any) -> None:
        self.stop()
        # Before pebble closes the locks: a worker that is still starting would print a traceback.
        for worker in multiprocessing.active_children():
            if worker.name == WORKERS_NAME:
                worker.terminate()
        self.join()
        if callable(self.previous_handler):
            signal.signal(signal.SIGINT, self.previous_handler)
        if self.interrupted and not exception_type:
            raise KeyboardInterrupt

    def wait_any(self, futures: Collection[Future], timeout: float = math.inf) -> set[Future]:
        """Wait until one or more of `futures` are done and return these; an empty set after `timeout` s."""
        deadline = time.monotonic() + timeout
        while True:
            if self.interrupted:
                raise KeyboardInterrupt
            pause = min(max(deadline - time.monotonic(), 0.0), POLL_INTERVAL)
            completed = wait(futures, pause, FIRST_COMPLETED).done
            if completed or time.monotonic() >= deadline:
                return completed
            if not futures:
                time.sleep(pause)

    def result(self, future: Future) -> Any:
        """Wait for the result of a future; raise its exception."""
        self.wait_any([future])
        return future.result()


def worker_context(preload: list[str]) -> Any:
    """Return a multiprocessing context whose workers are forked by a server that has imported `preload`.

    So a new worker starts quickly after a crash. This process itself is not forked: it has threads, which a
    fork would not copy.
    """
    multiprocessing.set_forkserver_preload(preload)
    return multiprocessing.get_context("forkserver")


def watch_parent(cleanup: Callable[[], None] = delete_temporary_files) -> None:
    """Exit this worker when its parent ends, for whatever reason. cleanup: is called before."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "not a worker"

    def watch() -> None:
        parent.join()
        cleanup()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
