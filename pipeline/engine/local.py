"""Makes shards in worker processes of this machine.

A worker that dies or hangs costs its shard a retry clip by clip, each alone under a time limit, and the clip
that did it becomes a row with a reason. Everything else in the shard comes out as it would have.
"""

import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pebble import ProcessExpired

from pipeline.engine import limits
from pipeline.engine.job import Step, Task
from pipeline.engine.workers import Workers, context, watch_parent
from pipeline.store.arrow import spare_pandas
from pipeline.store.formats import Arrays
from pipeline.store.status import failed

MEMORY = 4 << 30  # bytes that a worker may ask for, beyond what its shard holds
LARGEST = 64 << 20  # bytes of a clip in a file that it writes, unless its values are larger
RENEWED = 8  # shards after which a worker is replaced: decoders lose a little memory with every file


def shards(tasks: list[Task], settings) -> Generator[tuple[Task, bytes], None, None]:
    """Each task with its account, as they are done.

    settings: the section `engine` of params.yaml.
    """
    workers = min(settings.workers or os.cpu_count() or 1, len(tasks))
    with _scratch(tasks[0].shards.folder) as scratch, _workers(workers, tasks, scratch) as pool:
        waiting: dict[Future, Task] = {}
        queue = iter(tasks)
        while True:
            # A few tasks ahead of the workers and no more: a task carries its clips' rows.
            while len(waiting) < workers + 2 and (task := next(queue, None)) is not None:
                waiting[_scheduled(pool, task, settings.timeout)] = task
            if not waiting:
                break
            for future in pool.finished(waiting):
                task = waiting.pop(future)
                yield task, _account(future, pool, task, settings.timeout)


def alone(task: Task, timeout: float) -> bytes:
    """A task's account, by a process of its own: for a worker of a cluster, which must outlive it."""
    with tempfile.TemporaryDirectory() as scratch, _workers(1, [task], scratch) as pool:
        return _account(_scheduled(pool, task, timeout), pool, task, timeout)


def _workers(number: int, tasks: list[Task], scratch: str) -> Workers:
    return Workers(
        max_workers=number,
        max_tasks=RENEWED,
        context=context(_needed(tasks[0].job.step)),
        initializer=_start_worker,
        initargs=[scratch, *_room(tasks)],
    )


def _room(tasks: list[Task]) -> tuple[int, int]:
    """Bytes of memory, and of a file, that a worker may need for the largest of these tasks.

    Three times what a shard holds, and will hold: as read, as values, and as written.
    """
    clips, values = max(len(t.clips) for t in tasks), tasks[0].shards.format
    each = math.prod(values.shape) * np.dtype(values.dtype).itemsize if isinstance(values, Arrays) else 0
    before = (Path(t.given.place) for t in tasks if t.given)
    # One that lies elsewhere is taken to be as large as it may be.
    held = max((p.stat().st_size if p.exists() else LARGEST * clips for p in before), default=0)
    return MEMORY + 3 * (held + each * clips), max(max(LARGEST, each) * clips, held) + (1 << 20)


def _scheduled(pool: Workers, task: Task, timeout: float) -> Future:
    return pool.schedule(task, timeout=timeout + len(task.clips))


def _account(future: Future, pool: Workers, task: Task, timeout: float) -> bytes:
    try:
        return pool.result(future)
    except (ProcessExpired, OutOfTime, MemoryError):
        return _one_by_one(pool, task, timeout)


def _one_by_one(pool: Workers, task: Task, timeout: float) -> bytes:
    """The retry of a shard on which a worker died, hung or asked for too much: each clip alone."""
    outcomes = task.known()
    futures = {
        i: pool.schedule(task.compute, args=[[i]], timeout=timeout)
        for i, o in enumerate(outcomes)
        if o is None
    }
    for i, future in futures.items():
        try:
            outcomes[i] = pool.result(future)[0]
        except ProcessExpired as e:
            outcomes[i] = failed("crashed", f"the decoder crashed ({_cause(e.exitcode)})")
        except MemoryError:
            outcomes[i] = failed("crashed", f"the decoder asked for more than {MEMORY >> 30} GB of memory")
        except OutOfTime:
            outcomes[i] = failed("timeout", f"not done after {timeout:g} s (engine.timeout)")
    return task.write(outcomes)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit status {exitcode}"


@contextmanager
def _scratch(folder: Path) -> Iterator[str]:
    """The workers' temporary files lie in the stage's own folder: the next run clears what a kill leaves."""
    path = folder / f".scratch-{os.getpid()}"
    path.mkdir()
    try:
        yield str(path.resolve())
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _start_worker(scratch: str, memory: int, file: int) -> None:
    """Ctrl-C is the parent's to answer. A worker must not outlive its parent, nor take all of the machine."""
    limits.hold(memory, file)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    spare_pandas()
    watch_parent()


def _needed(step: Step) -> list[str]:
    found = [name for name in sys.modules if name.startswith("pipeline.")]
    return [*found, getattr(step, "__module__", type(step).__module__)]
