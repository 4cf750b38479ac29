"""Processes of this machine that do what could crash, hang or ask for too much."""

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

from pipeline.store.atomic import abandon

ANSWERS = 0.1  # s after which Ctrl-C is answered


class Workers(ProcessPool):
    """Pebble's pool, for one run: it ends with its context, and what nobody waited for is not done.

    Inside, Ctrl-C is noted, and raised where results are waited for. Raised wherever it comes, it could leave
    a lock held that threads of the pool wait for, and the run would never end: `concurrent.futures.wait`
    takes one of each future.
    """

    def __enter__(self) -> "Workers":
        self.interrupted = False
        self.before = signal.getsignal(signal.SIGINT)
        if callable(self.before):  # or it is ignored, as of a command that nohup began
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True

    def __exit__(self, failure: type | None, *_: Any) -> None:
        self.stop()
        # Before their locks go, which pebble takes first: one that is only starting would print a traceback.
        for worker in multiprocessing.active_children():
            if worker.name == WORKERS_NAME:
                worker.terminate()
        self.join()
        if callable(self.before):
            signal.signal(signal.SIGINT, self.before)
        if self.interrupted and not failure:
            raise KeyboardInterrupt

    def finished(self, futures: Collection[Future], seconds: float = math.inf) -> set[Future]:
        """Those of `futures` that are done: one or more, or none after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            if self.interrupted:
                raise KeyboardInterrupt
            left = min(max(until - time.monotonic(), 0.0), ANSWERS)
            done = wait(futures, left, FIRST_COMPLETED).done
            if done or time.monotonic() >= until:
                return done
            if not futures:
                time.sleep(left)

    def result(self, future: Future) -> Any:
        self.finished([future])
        return future.result()


def context(needed: list[str]) -> Any:
    """Workers are forked by a server that has imported what they need: after a crash another is there soon.

    Not by this process, whose threads a fork would cut off.
    """
    multiprocessing.set_forkserver_preload(needed)
    return multiprocessing.get_context("forkserver")


def watch_parent(clear: Callable[[], None] = abandon) -> None:
    """End this worker when its parent ends, however that comes. clear: what it does before."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "not a worker"

    def watch() -> None:
        parent.join()
        clear()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
