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
    """Pebble's pool of processes as a context manager, which cancels all unfinished tasks at its end.

    Inside the `with` block, the handler of Ctrl-C only sets the flag `is_interrupted`, and `wait_any` then
    raises KeyboardInterrupt. An exception at any other place could leave a lock held that threads of the pool
    wait for, and the run would never end: `concurrent.futures.wait` acquires a lock of each future.
    """

    def __enter__(self) -> "Workers":
        self.is_interrupted = False
        self.previous_handler = signal.getsignal(signal.SIGINT)  # restored at the end of the block
        if callable(self.previous_handler):  # it is not if SIGINT is ignored, as under nohup
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, *_: Any) -> None:
        self.is_interrupted = True

    def __exit__(self, exception_type: type | None, *_: Any) -> None:
        self.stop()
        # Terminate workers before `join`, in which pebble closes its locks: a worker that is still starting
        # would print a traceback about a closed lock.
        for worker in multiprocessing.active_children():
            if worker.name == WORKERS_NAME:
                worker.terminate()
        self.join()
        if callable(self.previous_handler):
            signal.signal(signal.SIGINT, self.previous_handler)
        if self.is_interrupted and not exception_type:
            raise KeyboardInterrupt

    def wait_any(self, futures: Collection[Future], timeout: float = math.inf) -> set[Future]:
        """Wait until one or more of `futures` are done. Return those; an empty set after `timeout` seconds.

        Raises KeyboardInterrupt after Ctrl-C.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self.is_interrupted:
                raise KeyboardInterrupt
            pause = min(max(deadline - time.monotonic(), 0.0), POLL_INTERVAL)
            completed = wait(futures, pause, FIRST_COMPLETED).done
            if completed or time.monotonic() >= deadline:
                return completed
            if not futures:  # `wait` does not wait if there are none
                time.sleep(pause)

    def result(self, future: Future) -> Any:
        """Wait until a future is done. Return its result, or raise its exception."""
        self.wait_any([future])
        return future.result()


def worker_context(preload: list[str]) -> Any:
    """Return a multiprocessing context whose workers are forked by a server process.

    preload: names of modules that the server imports, so that a new worker starts quickly after a crash. This
    process itself is not forked: it has threads, which a fork would not copy.
    """
    multiprocessing.set_forkserver_preload(preload)
    return multiprocessing.get_context("forkserver")


def watch_parent(cleanup: Callable[[], None] = delete_temporary_files) -> None:
    """Start a thread that ends this worker process when its parent process ends, even if that was killed.

    cleanup: is called before the exit.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "not a worker"

    def watch() -> None:
        parent.join()
        cleanup()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
