"""A data stage as a job, and its shards as tasks."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import UserError
from pipeline.store.formats import Layout, digest
from pipeline.store.shards import Account, Shards, places, read_index
from pipeline.store.status import OK, Outcome, failed

Step = Callable[[list[dict], list], Iterable[Outcome]]


@dataclass(frozen=True)
class Job:
    """What a data stage is made of.

    step: one Outcome per clip, in order; it sees only clips that the stage before brought out ok.
    made_from: what all its shards depend on, beside clips and the stage before: parameters and code.
    shards: what its output looks like. upstream: what that of the stage before looks like, whose values it
    takes; None where it starts from the clip table.
    facts: for each clip what the clip table does not tell (size and time of media outside).
    opener: turns upstream values into what the step takes, as a context manager.
    """

    name: str
    step: Step
    shards: Layout
    made_from: str
    upstream: Layout | None = None
    facts: list | None = None
    opener: Callable | None = None


@dataclass(frozen=True)
class Task:
    """One shard, as a worker gets it."""

    job: Job
    shards: Shards
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
        recalled = self.shards.recall(self.kept)
        return [c or k for c, k in zip(self.carried, recalled, strict=True)]

    def compute(self, which: list[int]) -> list[Outcome]:
        clips = [self.clips[i] for i in which]
        if not clips:
            return []
        upstream = Shards.of(self.job.upstream).values(self.given) if self.job.upstream and self.given else {}
        values = [upstream.get(c["clip_id"]) for c in clips]
        with self.job.opener(values) if self.job.opener else nullcontext(values) as opened:
            return list(self.job.step(clips, opened))

    def write(self, outcomes: list[Outcome | None]) -> bytes:
        made = [o for o in outcomes if o is not None]  # all of them
        return self.shards.write(self.shard, self.clips, self.keys, made)


def plan(job: Job, shards: Shards, clips: list[dict], shard_size: int) -> list[Task]:
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
            place = elsewhere[shard] if elsewhere else str(Shards.of(job.upstream).data(shard))
            given = Account(place, before[part])
        tasks.append(Task(job, shards, shard, clips[part], keys, carried, given, []))
    return tasks
