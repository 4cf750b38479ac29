"""Run one step over the shards of a clip table, in worker processes of this machine or of a cluster.

Both engines (pipeline/engine/local.py, pipeline/engine/cluster.py) write the same shards.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.engine import cluster, local
from pipeline.engine.job import Job, Task, plan_tasks
from pipeline.engine.progress import Progress
from pipeline.errors import disk_error
from pipeline.store import resume, storage
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest
from pipeline.store.shards import Shards
from pipeline.store.status import OK

__all__ = ["Job", "clips_to_compute", "fingerprint", "run"]


def fingerprint(params: Any, *code: str | type | Callable) -> str:
    """Return a hash of the parameters and the code of a stage, which all its values depend on.

    params: as the stage may read them. code: the step, its opener and modules that they import by name, as
    for `code_digest`. Excluded is what changes no value: the sections `engine` and `download`, and the size
    of shards.
    """
    excluded = ("engine", "download", "data.shard_size")
    values = {k: v for k, v in params.to_dict().items() if k not in excluded}
    return digest(values, code_digest(*code))


def run(job: Job, clips: list[dict], shard_size: int, engine) -> pa.Table:
    """Update the shards of `job` for `clips`. Return the index, with a row for every clip.

    engine: the section of params.yaml. Raises UserError if the disk is full, or if the stage before has not
    been run for these clips.
    """
    start_time = time.monotonic()
    storage_url = storage.normalize(getattr(engine, "storage", None))
    shards = Shards.from_layout(job.shards, storage_url)
    if storage_url:
        storage.check_writable(f"{storage_url}/{shards.folder.name}")
    tasks = plan_tasks(job, shards, clips, shard_size)
    progress_folder = resume.prepare(f"{job.name}-{digest(str(shards.folder), job.fingerprint)}")
    shards.restore_progress(progress_folder)
    to_compute = shards.start_run([t.keys for t in tasks])
    reusable_rows = shards.reusable_rows()
    tasks = [
        replace(tasks[shard], reusable_rows=[reusable_rows.get(key) for key in tasks[shard].keys])
        for shard in to_compute
    ]
    try:
        _run_tasks(shards, tasks, engine, progress_folder, len(clips))
        index = shards.merge_indexes(-(-len(clips) // shard_size))
        resume.delete(progress_folder)
    except OSError as e:
        if error := disk_error(e, str(shards.folder)):
            raise error from None
        raise
    statuses, seconds = index["status"].to_pylist(), time.monotonic() - start_time
    print(summary(job.name, statuses, _count_computed(tasks), seconds), flush=True)
    return index


def clips_to_compute(job: Job, clips: list[dict]) -> list[dict]:
    """Return those of `clips` that `run` would compute and not reuse."""
    shards = Shards.from_layout(job.shards)
    reusable_keys = shards.reusable_keys()
    keys = [key for task in plan_tasks(job, shards, clips, max(len(clips), 1)) for key in task.keys]
    return [clip for clip, key in zip(clips, keys, strict=True) if key not in reusable_keys]


def summary(name: str, statuses: list[str], n_computed: int, seconds: float) -> str:
    """Return the last line that a stage prints."""
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
    """Run the tasks and write the indexes of their shards. n_clips: of all shards, for the progress bar."""
    if not tasks:
        return
    completed = n_clips - sum(len(task.clips) for task in tasks)
    module = cluster if getattr(engine, "name", "local") == "ray" else local
    results = module.run_tasks(tasks, engine)
    try:
        with Progress(tasks[0].job.name, n_clips, completed) as progress, closing(results):
            for task, shard_index in results:
                shards.write_shard_index(task.shard, shard_index)
                shards.save_progress(task.shard, progress_folder)
                progress.advance(len(task.clips))
    finally:
        for path in shards.folder.glob(".*.tmp"):  # of workers that were stopped while they wrote
            path.unlink(missing_ok=True)
