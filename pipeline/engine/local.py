"""Compute shards in worker processes of this machine.

If a worker dies or hangs, its shard is computed again clip by clip, each with a time limit of its own. The
clip that caused the failure gets a status with the reason; the other clips get the same values as always.
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

WORKER_MEMORY = 4 << 30  # bytes that a worker may allocate, beyond what its shard holds
MAX_CLIP_BYTES = 64 << 20  # of one clip in a file that a worker writes, unless its values are larger
FILE_OVERHEAD = 1 << 20  # bytes of a shard's file beside the values: header, paths and clip ids
TASKS_AHEAD = 2  # tasks that wait for a worker or a CPU; not all: each holds the rows of its clips


def run_tasks(tasks: list[Task], engine) -> Generator[tuple[Task, bytes], None, None]:
    """Yield each task with the index of its shard (the content of a Parquet file), in order of completion.

    engine: the section `engine` of params.yaml.
    """
    n_workers = min(engine.workers or os.cpu_count() or 1, len(tasks))
    with _scratch_folder(tasks[0].shards.folder) as scratch, _start_pool(n_workers, tasks, scratch) as pool:
        pending: dict[Future, Task] = {}
        queue = iter(tasks)
        while True:
            while len(pending) < n_workers + TASKS_AHEAD and (task := next(queue, None)) is not None:
                pending[_schedule(pool, task, engine.timeout)] = task
            if not pending:
                break
            for future in pool.wait_any(pending):
                task = pending.pop(future)
                yield task, _wait_for_index(future, pool, task, engine.timeout)


def run_in_subprocess(task: Task, timeout: float) -> bytes:
    """Run one task in a new process. Return the index of its shard, the content of a Parquet file.

    Workers of a cluster call this, so that a crash of the task does not end the worker. timeout: seconds per
    clip.
    """
    with tempfile.TemporaryDirectory() as scratch, _start_pool(1, [task], scratch) as pool:
        return _wait_for_index(_schedule(pool, task, timeout), pool, task, timeout)


def _start_pool(n_workers: int, tasks: list[Task], scratch: str) -> Workers:
    """Return a pool of worker processes with limits for these tasks. scratch: folder for temporary files."""
    return Workers(
        max_workers=n_workers,
        max_tasks=tasks[0].job.tasks_per_worker,
        context=worker_context(_modules_to_preload(tasks[0].job.step)),
        initializer=_start_worker,
        initargs=[scratch, *_worker_limits(tasks)],
    )


def _worker_limits(tasks: list[Task]) -> tuple[int, int]:
    """Return two limits for the largest of these tasks: bytes of memory, and bytes of one file, of a worker.

    The inputs and outputs of a shard may be in memory three times: as read, as values, and as written.
    """
    max_clips = max(len(task.clips) for task in tasks)
    value_format = tasks[0].shards.format
    value_bytes = 0  # of one clip; unknown for encoded files
    if isinstance(value_format, Arrays):
        value_bytes = math.prod(value_format.shape) * np.dtype(value_format.dtype).itemsize
    input_paths = [Path(task.upstream_index.location) for task in tasks if task.upstream_index]
    # The size of a remote file is unknown: assume the maximum.
    input_sizes = [p.stat().st_size if p.exists() else MAX_CLIP_BYTES * max_clips for p in input_paths]
    input_bytes = max(input_sizes, default=0)
    memory = WORKER_MEMORY + 3 * (input_bytes + value_bytes * max_clips)
    output_bytes = max(MAX_CLIP_BYTES, value_bytes) * max_clips
    return memory, max(output_bytes, input_bytes) + FILE_OVERHEAD


def _schedule(pool: Workers, task: Task, timeout: float) -> Future:
    """Have a worker run a task, for at most `timeout` seconds and one second more per clip."""
    return pool.schedule(task, timeout=timeout + len(task.clips))


def _wait_for_index(future: Future, pool: Workers, task: Task, timeout: float) -> bytes:
    """Wait for the index of a task's shard and return it.

    Computes the shard again clip by clip if the worker died, hung or ran out of memory. timeout: s per clip.
    """
    try:
        return pool.result(future)
    except (ProcessExpired, FutureTimeout, MemoryError):
        return _retry_clip_by_clip(pool, task, timeout)


def _retry_clip_by_clip(pool: Workers, task: Task, timeout: float) -> bytes:
    """Compute each clip of a shard in a call of its own. Return the index of the shard.

    A clip whose worker dies, hangs for `timeout` s or runs out of memory gets a status with the reason.
    """
    outcomes = task.load_existing_outcomes()
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
            outcomes[i] = failed(
                "crashed", f"the decoder asked for more than {WORKER_MEMORY >> 30} GB of memory"
            )
        except FutureTimeout:
            outcomes[i] = failed("timeout", f"not done after {timeout:g} s (engine.timeout)")
    return task.write_shard(outcomes)


def _exit_reason(exitcode: int | None) -> str:
    """Return why a worker ended: the signal that killed it (its negative exit code), or its exit status."""
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit status {exitcode}"


@contextmanager
def _scratch_folder(stage_folder: Path) -> Iterator[str]:
    """Yield the path of a folder for the workers' temporary files, inside the output folder of the stage.

    It is deleted at the end. If this process is killed, the next run of the stage deletes it.
    """
    path = stage_folder / f".scratch-{os.getpid()}"
    path.mkdir()
    try:
        yield str(path.resolve())
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _start_worker(scratch: str, memory: int, file_size: int) -> None:
    """Prepare a new worker process. scratch: its folder for temporary files. memory, file_size: in bytes."""
    limit_process(memory, file_size)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    skip_pandas_import()
    watch_parent()


def _modules_to_preload(step: Step) -> list[str]:
    """Return the names of the modules that workers import: those imported here, and that of the step."""
    imported = [name for name in sys.modules if name.startswith(f"{PREFIX}pipeline.")]
    return [*imported, getattr(step, "__module__", type(step).__module__)]
