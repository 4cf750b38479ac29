"""Run one step over the shards of a clip table, in worker processes of this machine or of a cluster.

Both engines (pipeline/engine/local.py, pipeline/engine/cluster.py) write the same shards. Which clips are
computed, and which are taken from an earlier run: pipeline/engine/clip_keys.py.
"""

import math
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pipeline.engine import cluster, local
from pipeline.engine.clip_keys import make_keys, read_upstream
from pipeline.engine.job import Job, Task
from pipeline.engine.progress import Progress
from pipeline.errors import explain_disk_error
from pipeline.store import resume, storage
from pipeline.store.formats import Layout, digest
from pipeline.store.shards import ShardIndex, Shards
from pipeline.store.status import OK, Outcome, failed

__all__ = ["Job", "run", "write_empty"]


def run(job: Job, clips: list[dict], shard_size: int, engine) -> pa.Table:
    """Bring the shards of `job` up to date for `clips`. Return the index, with one row per clip.

    clips: rows of the clip table. shard_size: clips per shard. engine: the section `engine` of params.yaml.
    Raises UserError if the disk is full, or if the stage before has not been run for these clips.
    """
    start_time = time.monotonic()
    storage_url = storage.normalize(engine.storage)
    shards = Shards.from_layout(job.shards, storage_url)
    if storage_url:
        storage.check_writable(f"{storage_url}/{shards.folder.name}")
    tasks = _plan_tasks(job, shards, clips, shard_size)
    progress_folder = resume.prepare_path(f"{job.name}-{digest(str(shards.folder), job.fingerprint)}")
    shards.restore_progress(progress_folder)
    to_compute = shards.start_run([task.keys for task in tasks])
    reusable_rows = shards.reusable_rows()
    tasks = [
        replace(tasks[shard], reusable_rows=[reusable_rows.get(key) for key in tasks[shard].keys])
        for shard in to_compute
    ]
    try:
        _run_tasks(shards, tasks, engine, progress_folder, len(clips))
        index = shards.merge_indexes(math.ceil(len(clips) / shard_size))
        resume.delete(progress_folder)
    except OSError as e:
        if error := explain_disk_error(e, str(shards.folder)):
            raise error from None
        raise
    statuses, seconds = index["status"].to_pylist(), time.monotonic() - start_time
    print(_summarize(job.name, statuses, _count_computed(tasks), seconds), flush=True)
    return index


def write_empty(name: str, layout: Layout, reason: str) -> None:
    """Write the index of a data stage that parameters switch off: it has no rows. Print the reason.

    name: of the stage. layout: of its output.
    """
    shards = Shards.from_layout(layout)
    shards.start_run([])
    shards.merge_indexes(0)
    print(f"{name}: nothing to do ({reason})", flush=True)


def _plan_tasks(job: Job, shards: Shards, clips: list[dict], shard_size: int) -> list[Task]:
    """Return one task per shard, with the keys of its clips, but without `reusable_rows`.

    Raises UserError if the stage before has not been run for exactly these clips.
    """
    first_clips = range(0, len(clips), shard_size)  # the position of the first clip of each shard
    failures: list[Outcome | None] = [None] * len(clips)
    upstream_indexes: list[ShardIndex | None] = [None] * len(first_clips)
    upstream_rows, locations = read_upstream(job, clips)
    if job.upstream is not None and upstream_rows is not None:
        failures = [_failure(row) for row in upstream_rows]
        upstream_shards = Shards.from_layout(job.upstream)
        for shard, first in enumerate(first_clips):
            location = locations[shard] if locations else str(upstream_shards.data_path(shard))
            upstream_indexes[shard] = ShardIndex(location, upstream_rows[first : first + shard_size])
    keys = make_keys(job, clips, upstream_rows)
    # Every task is sent to a worker with its job: keep it small.
    small_job = replace(job, file_stamps=None)
    return [
        Task(
            job=small_job,
            shards=shards,
            shard=shard,
            clips=clips[first : first + shard_size],
            keys=keys[first : first + shard_size],
            upstream_failures=failures[first : first + shard_size],
            upstream_index=upstream_indexes[shard],
            reusable_rows=[],
        )
        for shard, first in enumerate(first_clips)
    ]


def _failure(upstream_row: dict) -> Outcome | None:
    """Return the outcome of a clip that failed in the stage before; None for a clip with status ok."""
    if upstream_row["status"] == OK:
        return None
    return failed(upstream_row["status"], upstream_row["detail"])


def _summarize(name: str, statuses: list[str], n_computed: int, seconds: float) -> str:
    """Return the line that a stage prints at its end.

    name: of the stage. statuses: of all clips. n_computed: clips that were computed in this run, which took
    `seconds`.
    """
    counts = Counter(statuses)
    failures = "".join(f", {n} {status}" for status, n in sorted(counts.items()) if status != OK)
    rate = f"{n_computed / max(seconds, 1e-9):.0f} clips/s" if n_computed else "nothing to do"
    return f"{name}: {len(statuses)} clips in, {counts[OK]} ok{failures}; {n_computed} made, {rate}"


def _count_computed(tasks: list[Task]) -> int:
    """Return the number of clips that neither failed in the stage before nor are reused."""
    return sum(
        failure is None and row is None
        for task in tasks
        for failure, row in zip(task.upstream_failures, task.reusable_rows, strict=True)
    )


def _run_tasks(shards: Shards, tasks: list[Task], engine, progress_folder: Path, n_clips: int) -> None:
    """Run the tasks and write the indexes of their shards.

    engine: the section `engine` of params.yaml. progress_folder: keeps finished shards for a run after an
    interruption. n_clips: of all shards, for the progress bar.
    """
    if not tasks:
        return
    completed = n_clips - sum(len(task.clips) for task in tasks)
    engine_module = cluster if engine.name == "ray" else local
    results = engine_module.run_tasks(tasks, engine)
    try:
        with Progress(tasks[0].job.name, n_clips, completed) as progress, closing(results):
            for task, shard_index in results:
                shards.write_shard_index(task.shard, shard_index)
                shards.save_progress(task.shard, progress_folder)
                progress.advance(len(task.clips))
    finally:
        for path in shards.folder.glob(".*.tmp"):  # of workers that were stopped while they wrote
            path.unlink(missing_ok=True)
