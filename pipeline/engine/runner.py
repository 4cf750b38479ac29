"""Runs one step over the shards of a clip table, in worker processes of this machine or of a cluster.

Both ways (pipeline/engine/local.py, pipeline/engine/cluster.py) make the same shards.
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
from pipeline.engine.job import Job, Task, plan
from pipeline.engine.progress import Progress
from pipeline.errors import of_disk
from pipeline.store import resume, storage
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest
from pipeline.store.shards import Shards
from pipeline.store.status import OK

__all__ = ["Job", "made_from", "missing", "run"]


def made_from(params: Any, *code: str | type | Callable) -> str:
    """Hash what all clips of a stage depend on beside the data: its parameters and its code.

    params: as the stage may read them. code: the step, its opener and what they use by name, as for
    `code_digest`. Where and how the stage runs (`engine`, `download`) and the size of shards change no value.
    """
    how = ("engine", "download", "data.shard_size")
    values = {k: v for k, v in params.listed().items() if k not in how}
    return digest(values, code_digest(*code))


def run(job: Job, clips: list[dict], shard_size: int, engine) -> pa.Table:
    """Bring `job`'s shards up to date with `clips` and return the index, a row for every clip.

    `engine` is the section of params.yaml. Raises UserError where the disk is full or the stage before has
    not been run for these clips.
    """
    began = time.monotonic()
    lies = storage.normal(getattr(engine, "storage", None))
    shards = Shards.of(job.shards, lies)
    if lies:
        storage.check(f"{lies}/{shards.folder.name}")
    tasks = plan(job, shards, clips, shard_size)
    unfinished = resume.prepare(f"{job.name}-{digest(str(shards.folder), job.made_from)}")
    shards.restore(unfinished)
    todo = shards.prepare([t.keys for t in tasks])
    reusable = shards.reusable()
    tasks = [replace(tasks[s], kept=[reusable.get(k) for k in tasks[s].keys]) for s in todo]
    made = sum(c is None and k is None for t in tasks for c, k in zip(t.carried, t.kept, strict=True))
    try:
        done = len(clips) - sum(len(t.clips) for t in tasks)
        _run_tasks(shards, tasks, engine, unfinished, len(clips), done)
        index = shards.finish(-(-len(clips) // shard_size))
        resume.delete(unfinished)
    except OSError as e:
        if told := of_disk(e, str(shards.folder)):
            raise told from None
        raise
    print(summary(job.name, index["status"].to_pylist(), made, time.monotonic() - began), flush=True)
    return index


def missing(job: Job, clips: list[dict]) -> list[dict]:
    """Those of `clips` that `run` would have to make."""
    shards = Shards.of(job.shards)
    known = shards.known()
    keys = [key for task in plan(job, shards, clips, max(len(clips), 1)) for key in task.keys]
    return [clip for clip, key in zip(clips, keys, strict=True) if key not in known]


def summary(name: str, statuses: list[str], made: int, seconds: float) -> str:
    """The line that a stage ends with."""
    counts = Counter(statuses)
    out = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()) if status != OK)
    rate = f"{made / max(seconds, 1e-9):.0f} clips/s" if made else "nothing to do"
    return (
        f"{name}: {len(statuses)} clips in, {counts[OK]} ok{', ' + out if out else ''}; {made} made, {rate}"
    )


def _run_tasks(shards: Shards, tasks: list[Task], engine, unfinished: Path, total: int, done: int) -> None:
    if not tasks:
        return
    where = cluster if getattr(engine, "name", "local") == "ray" else local
    finished = where.shards(tasks, engine)
    try:
        with Progress(tasks[0].job.name, total, done) as progress, closing(finished):
            for task, account in finished:
                shards.settle(task.shard, account)
                shards.keep(task.shard, unfinished)
                progress.advance(len(task.clips))
    finally:
        for part in shards.folder.glob(".*.tmp"):  # of workers that were stopped while they wrote
            part.unlink(missing_ok=True)
