"""Runs one step over the shards of a clip table, in worker processes of this machine or of a cluster.

A worker that dies or hangs costs its shard a retry clip by clip, each alone under a time limit, and the clip
that did it becomes a row with a reason. Everything else in the shard comes out as it would have.

On a cluster (pipeline/engine/cluster.py) each shard has such a worker on the node that it is given to: what a file
can do ends there, and what befalls a node is the cluster's to answer.
"""

import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pebble import ProcessExpired

from pipeline.engine import limits
from pipeline.engine.progress import Progress
from pipeline.engine.workers import Workers, context, watch_parent
from pipeline.errors import UserError, of_disk
from pipeline.store import resume, storage
from pipeline.store.arrow import spare_pandas
from pipeline.store.code_identity import code_digest
from pipeline.store.shards import Account, Arrays, Shards, digest, places, read_index
from pipeline.store.status import OK, Outcome, failed

MEMORY = 4 << 30  # bytes that a worker may ask for, beyond what its shard holds
LARGEST = 64 << 20  # bytes of a clip in a file that it writes, unless its values are larger
RENEWED = 8  # shards after which a worker is replaced: decoders lose a little memory with every file
Step = Callable[[list[dict], list], Iterable[Outcome]]


@dataclass(frozen=True)
class Job:
    """What a data stage is made of.

    step: one Outcome per clip, in order; it sees only clips that the stage before brought out ok.
    made_from: what all its shards depend on, beside clips and the stage before: parameters and code.
    upstream: the shards whose values it takes; None where it starts from the clip table.
    facts: for each clip what the clip table does not tell (size and time of media outside).
    opener: turns upstream values into what the step takes, as a context manager.
    """

    name: str
    step: Step
    shards: Shards
    made_from: str
    upstream: Shards | None = None
    facts: list | None = None
    opener: Callable | None = None


@dataclass(frozen=True)
class _Task:
    """One shard, as a worker gets it."""

    job: Job
    shard: int
    clips: list[dict]
    keys: list[str]
    carried: list[Outcome | None]  # those that the stage before did not bring out ok
    given: Account | None  # of the stage before
    kept: list  # rows of an earlier run that are still right

    def __call__(self) -> bytes:
        outcomes = self.known()
        todo = [i for i, o in enumerate(outcomes) if o is None]
        for i, outcome in zip(todo, self.compute(todo), strict=True):
            outcomes[i] = outcome
        return self.write(outcomes)

    def known(self) -> list[Outcome | None]:
        recalled = self.job.shards.recall(self.kept)
        return [c or k for c, k in zip(self.carried, recalled, strict=True)]

    def compute(self, which: list[int]) -> list[Outcome]:
        clips = [self.clips[i] for i in which]
        if not clips:
            return []
        upstream = self.job.upstream.values(self.given) if self.job.upstream and self.given else {}
        values = [upstream.get(c["clip_id"]) for c in clips]
        with self.job.opener(values) if self.job.opener else nullcontext(values) as opened:
            return list(self.job.step(clips, opened))

    def write(self, outcomes: list[Outcome | None]) -> bytes:
        made = [o for o in outcomes if o is not None]  # all of them
        return self.job.shards.write(self.shard, self.clips, self.keys, made)


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
    job = replace(job, shards=replace(job.shards, storage=lies))
    if lies:
        storage.check(f"{lies}/{job.shards.folder.name}")
    tasks = _plan(job, clips, shard_size)
    unfinished = resume.prepare(f"{job.name}-{digest(str(job.shards.folder), job.made_from)}")
    job.shards.restore(unfinished)
    todo = job.shards.prepare([t.keys for t in tasks])
    reusable = job.shards.reusable()
    tasks = [replace(tasks[s], kept=[reusable.get(k) for k in tasks[s].keys]) for s in todo]
    made = sum(c is None and k is None for t in tasks for c, k in zip(t.carried, t.kept, strict=True))
    try:
        done = len(clips) - sum(len(t.clips) for t in tasks)
        _run_tasks(job, tasks, engine, unfinished, len(clips), done)
        index = job.shards.finish(-(-len(clips) // shard_size))
        resume.delete(unfinished)
    except OSError as e:
        if told := of_disk(e, str(job.shards.folder)):
            raise told from None
        raise
    print(summary(job.name, index["status"].to_pylist(), made, time.monotonic() - began), flush=True)
    return index


def missing(job: Job, clips: list[dict]) -> list[dict]:
    """Those of `clips` that `run` would have to make."""
    known = job.shards.known()
    keys = [key for task in _plan(job, clips, max(len(clips), 1)) for key in task.keys]
    return [clip for clip, key in zip(clips, keys, strict=True) if key not in known]


def summary(name: str, statuses: list[str], made: int, seconds: float) -> str:
    """The line that a stage ends with."""
    counts = Counter(statuses)
    out = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()) if status != OK)
    rate = f"{made / max(seconds, 1e-9):.0f} clips/s" if made else "nothing to do"
    return (
        f"{name}: {len(statuses)} clips in, {counts[OK]} ok{', ' + out if out else ''}; {made} made, {rate}"
    )


def _plan(job: Job, clips: list[dict], shard_size: int) -> list[_Task]:
    before: list[Any] = [None] * len(clips)
    elsewhere: list[str] = []
    facts = job.facts or [None] * len(clips)
    if job.upstream:
        index = read_index(job.upstream.folder)
        before, elsewhere = index.to_pylist(), places(index)
        if [b["clip_id"] for b in before] != [c["clip_id"] for c in clips]:
            where = job.upstream.folder
            raise UserError(f"{where}: made for other clips than data/clips.parquet: run dvc repro")
    job = replace(job, facts=None)  # a task takes it along
    tasks = []
    for shard, first in enumerate(range(0, len(clips), shard_size)):
        part = slice(first, first + shard_size)
        keys: list[str] = []
        carried: list[Outcome | None] = []
        for clip, b, fact in zip(clips[part], before[part], facts[part], strict=True):
            came = {k: v for k, v in b.items() if k not in ("shard", "row", "key")} if b else None
            keys.append(digest(clip, came, fact, job.made_from))
            carried.append(failed(b["status"], b["detail"]) if b and b["status"] != OK else None)
        given = None
        if job.upstream:
            place = elsewhere[shard] if elsewhere else str(job.upstream.data(shard))
            given = Account(place, before[part])
        tasks.append(_Task(job, shard, clips[part], keys, carried, given, []))
    return tasks


def _run_tasks(job: Job, tasks: list[_Task], engine, unfinished: Path, total: int, done: int) -> None:
    if not tasks:
        return
    if getattr(engine, "name", "local") == "ray":
        from pipeline.engine import cluster  # and Ray: not for those who have none

        finished = cluster.shards(tasks, engine)
    else:
        finished = _locally(job, tasks, engine)
    try:
        with Progress(job.name, total, done) as progress, closing(finished):
            for task, account in finished:
                job.shards.settle(task.shard, account)
                job.shards.keep(task.shard, unfinished)
                progress.advance(len(task.clips))
    finally:
        for part in job.shards.folder.glob(".*.tmp"):  # of workers that were stopped while they wrote
            part.unlink(missing_ok=True)


def _locally(job: Job, tasks: list[_Task], engine) -> Generator[tuple[_Task, bytes], None, None]:
    """Each task with its account, as they are done, by processes of this machine."""
    workers = min(engine.workers or os.cpu_count() or 1, len(tasks))
    with _scratch(job.shards.folder) as scratch, _workers(workers, tasks, scratch) as pool:
        waiting: dict[Future, _Task] = {}
        queue = iter(tasks)
        while True:
            # A few tasks ahead of the workers and no more: a task carries its clips' rows.
            while len(waiting) < workers + 2 and (task := next(queue, None)) is not None:
                waiting[_scheduled(pool, task, engine.timeout)] = task
            if not waiting:
                break
            for future in pool.finished(waiting):
                task = waiting.pop(future)
                yield task, _account(future, pool, task, engine.timeout)


def alone(task: _Task, timeout: float) -> bytes:
    """A task's account, by a process of its own: for a worker of a cluster, which must outlive it."""
    with tempfile.TemporaryDirectory() as scratch, _workers(1, [task], scratch) as pool:
        return _account(_scheduled(pool, task, timeout), pool, task, timeout)


def _workers(number: int, tasks: list[_Task], scratch: str) -> Workers:
    return Workers(
        max_workers=number,
        max_tasks=RENEWED,
        context=context(_needed(tasks[0].job.step)),
        initializer=_start_worker,
        initargs=[scratch, *_room(tasks)],
    )


def _room(tasks: list[_Task]) -> tuple[int, int]:
    """Bytes of memory, and of a file, that a worker may need for the largest of these tasks.

    Three times what a shard holds, and will hold: as read, as values, and as written.
    """
    clips, store = max(len(t.clips) for t in tasks), tasks[0].job.shards.store
    each = math.prod(store.shape) * np.dtype(store.dtype).itemsize if isinstance(store, Arrays) else 0
    before = (Path(t.given.place) for t in tasks if t.given)
    # One that lies elsewhere is taken to be as large as it may be.
    held = max((p.stat().st_size if p.exists() else LARGEST * clips for p in before), default=0)
    return MEMORY + 3 * (held + each * clips), max(max(LARGEST, each) * clips, held) + (1 << 20)


def _scheduled(pool: Workers, task: _Task, timeout: float) -> Future:
    return pool.schedule(task, timeout=timeout + len(task.clips))


def _account(future: Future, pool: Workers, task: _Task, timeout: float) -> bytes:
    try:
        return pool.result(future)
    except (ProcessExpired, OutOfTime, MemoryError):
        return _one_by_one(pool, task, timeout)


def _one_by_one(pool: Workers, task: _Task, timeout: float) -> bytes:
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
