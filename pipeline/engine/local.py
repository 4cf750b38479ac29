"""Compute shards in worker processes of this machine.

If a worker dies or hangs, its shard is computed again clip by clip, each with a time limit of its own, and
the clip that caused it gets a status with the reason. The values of all other clips are the same as without
it.
"""

import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pebble import ProcessExpired

from pipeline import PREFIX
from pipeline.engine.job import Step, Task
from pipeline.engine.limits import limit_process
from pipeline.engine.workers import Workers, watch_parent, worker_context
from pipeline.store.arrow import skip_pandas_import
from pipeline.store.formats import Arrays
from pipeline.store.status import failed

MEMORY = 4 << 30  # bytes that a worker may allocate, beyond what its shard holds
MAX_CLIP_BYTES = 64 << 20  # of one clip in a file that a worker writes, unless its values are larger
TASKS_PER_WORKER = 8  # a worker is replaced after them: decoders leak a little memory with every file


def run_tasks(tasks: list[Task], settings) -> Generator[tuple[Task, bytes], None, None]:
    """Yield each task with the index of its shard, in order of completion.

    settings: the section `engine` of params.yaml.
    """
    n_workers = min(settings.workers or os.cpu_count() or 1, len(tasks))
    with _scratch_folder(tasks[0].shards.folder) as scratch, _start_pool(n_workers, tasks, scratch) as pool:
        pending: dict[Future, Task] = {}
        queue = iter(tasks)
        while True:
            # Only a few tasks ahead of the workers: every task holds the rows of its clips.
            while len(pending) < n_workers + 2 and (task := next(queue, None)) is not None:
                pending[_schedule(pool, task, settings.timeout)] = task
            if not pending:
                break
            for future in pool.wait_any(pending):
                task = pending.pop(future)
                yield task, _result(future, pool, task, settings.timeout)


def run_in_subprocess(task: Task, timeout: float) -> bytes:
    """Run one task in a new process and return the index of its shard.

    For a worker of a cluster, which must survive a crash of the task.
    """
    with tempfile.TemporaryDirectory() as scratch, _start_pool(1, [task], scratch) as pool:
        return _result(_schedule(pool, task, timeout), pool, task, timeout)


def _start_pool(n_workers: int, tasks: list[Task], scratch: str) -> Workers:
    return Workers(
        max_workers=n_workers,
        max_tasks=TASKS_PER_WORKER,
        context=worker_context(_modules_to_preload(tasks[0].job.step)),
        initializer=_start_worker,
        initargs=[scratch, *_worker_limits(tasks)],
    )


def _worker_limits(tasks: list[Task]) -> tuple[int, int]:
    """Return the bytes of memory, and of one file, that a worker may need for the largest of these tasks.

    Memory is three times the size of a shard's inputs and outputs: as read, as values, and as written.
    """
    clips, values = max(len(t.clips) for t in tasks), tasks[0].shards.format
    value_bytes = (
        math.prod(values.shape) * np.dtype(values.dtype).itemsize if isinstance(values, Arrays) else 0
    )
    input_paths = (Path(t.upstream_index.location) for t in tasks if t.upstream_index)
    # The size of a remote file is unknown: assume the maximum.
    sizes = (p.stat().st_size if p.exists() else MAX_CLIP_BYTES * clips for p in input_paths)
    input_bytes = max(sizes, default=0)
    memory = MEMORY + 3 * (input_bytes + value_bytes * clips)
    return memory, max(max(MAX_CLIP_BYTES, value_bytes) * clips, input_bytes) + (1 << 20)


def _schedule(pool: Workers, task: Task, timeout: float) -> Future:
    return pool.schedule(task, timeout=timeout + len(task.clips))


def _result(future: Future, pool: Workers, task: Task, timeout: float) -> bytes:
    """Return the index of a task's shard; retry if the worker died, hung or ran out of memory."""
    try:
        return pool.result(future)
    except (ProcessExpired, FutureTimeout, MemoryError):
        return _retry_clip_by_clip(pool, task, timeout)


def _retry_clip_by_clip(pool: Workers, task: Task, timeout: float) -> bytes:
    outcomes = task.existing_outcomes()
    futures = {
        i: pool.schedule(task.compute, args=[[i]], timeout=timeout)
        for i, outcome in enumerate(outcomes)
        if outcome is None
    }
    for i, future in futures.items():
        try:
            outcomes[i] = pool.result(future)[0]
        except ProcessExpired as e:
            outcomes[i] = failed("crashed", f"the decoder crashed ({_exit_reason(e.exitcode)})")
        except MemoryError:
            outcomes[i] = failed("crashed", f"the decoder asked for more than {MEMORY >> 30} GB of memory")
        except FutureTimeout:
            outcomes[i] = failed("timeout", f"not done after {timeout:g} s (engine.timeout)")
    return task.write(outcomes)


def _exit_reason(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit status {exitcode}"


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[str]:
    """Yield a folder for the workers' temporary files, inside the stage's folder.

    If this process is killed, the next run of the stage deletes it.
    """
    path = folder / f".scratch-{os.getpid()}"
    path.mkdir()
    try:
        yield str(path.resolve())
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _start_worker(scratch: str, memory: int, file_size: int) -> None:
    limit_process(memory, file_size)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    skip_pandas_import()
    watch_parent()


def _modules_to_preload(step: Step) -> list[str]:
    imported = [name for name in sys.modules if name.startswith(f"{PREFIX}pipeline.")]
    return [*imported, getattr(step, "__module__", type(step).__module__)]
