"""A data stage as a job, and its shards as tasks."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import UserError
from pipeline.store.formats import Layout, digest
from pipeline.store.shards import ShardIndex, Shards, StoredRow, read_index, shard_locations
from pipeline.store.status import OK, Outcome, failed

Step = Callable[[list[dict], list], Iterable[Outcome]]


@dataclass(frozen=True)
class Job:
    """What a data stage computes.

    step: returns one Outcome per clip, in order. It gets only clips that have status ok in the stage before.
    shards: layout of the output.
    fingerprint: hash of the parameters and the code, which all values depend on.
    upstream: layout of the stage before, whose values the step gets; None: the step gets no values.
    file_stamps: for each clip, what changes when its source files change (such as size and time), or None.
    opener: context manager that converts upstream values to what the step takes.
    """

    name: str
    step: Step
    shards: Layout
    fingerprint: str
    upstream: Layout | None = None
    file_stamps: list | None = None
    opener: Callable | None = None


@dataclass(frozen=True)
class Task:
    """One shard of a job, as a worker gets it. All lists have one entry per clip.

    upstream_failures: outcomes of clips that failed in the stage before; None for other clips.
    upstream_index: index of the same shard of the stage before; None without a stage before.
    reusable_rows: rows of an earlier run with valid keys, as of `Shards.reusable_rows`; None for other clips.
    """

    job: Job
    shards: Shards
    shard: int
    clips: list[dict]
    keys: list[str]
    upstream_failures: list[Outcome | None]
    upstream_index: ShardIndex | None
    reusable_rows: list[StoredRow | None]

    def __call__(self) -> bytes:
        """Compute and write the values of the shard. Return its index, a Parquet file."""
        outcomes = self.existing_outcomes()
        positions = [i for i, outcome in enumerate(outcomes) if outcome is None]
        for i, outcome in zip(positions, self.compute(positions), strict=True):
            outcomes[i] = outcome
        return self.write(outcomes)

    def existing_outcomes(self) -> list[Outcome | None]:
        """Return the outcomes that need no computation; None for clips to compute."""
        reused = self.shards.read_outcomes(self.reusable_rows)
        return [failure or outcome for failure, outcome in zip(self.upstream_failures, reused, strict=True)]

    def compute(self, positions: list[int]) -> list[Outcome]:
        """Run the step on the clips at these positions of the shard."""
        clips = [self.clips[i] for i in positions]
        if not clips:
            return []
        upstream: dict[str, Any] = {}
        if self.job.upstream and self.upstream_index:
            upstream = Shards.from_layout(self.job.upstream).read_values(self.upstream_index)
        values = [upstream.get(c["clip_id"]) for c in clips]
        with self.job.opener(values) if self.job.opener else nullcontext(values) as inputs:
            return list(self.job.step(clips, inputs))

    def write(self, outcomes: list[Outcome | None]) -> bytes:
        """Write the values of the shard. Return its index. outcomes: none of them is None."""
        complete = [outcome for outcome in outcomes if outcome is not None]
        return self.shards.write_values(self.shard, self.clips, self.keys, complete)


def plan_tasks(job: Job, shards: Shards, clips: list[dict], shard_size: int) -> list[Task]:
    """Return a task for each shard, with the key of each clip and without reusable rows.

    Raises UserError where the index of the stage before has other clips.
    """
    upstream_rows: list[Any] = [None] * len(clips)
    locations: list[str] = []
    file_stamps = job.file_stamps or [None] * len(clips)
    if job.upstream:
        index = read_index(job.upstream.folder)
        upstream_rows, locations = index.to_pylist(), shard_locations(index)
        if [row["clip_id"] for row in upstream_rows] != [c["clip_id"] for c in clips]:
            folder = job.upstream.folder
            raise UserError(f"{folder}: made for other clips than data/clips.parquet: run dvc repro")
    job = replace(job, file_stamps=None)  # every task is sent to a worker with its job: keep it small
    tasks = []
    for shard, first in enumerate(range(0, len(clips), shard_size)):
        part = slice(first, first + shard_size)
        keys: list[str] = []
        failures: list[Outcome | None] = []
        for clip, row, stamp in zip(clips[part], upstream_rows[part], file_stamps[part], strict=True):
            content = {k: v for k, v in row.items() if k not in ("shard", "row", "key")} if row else None
            keys.append(digest(clip, content, stamp, job.fingerprint))
            failures.append(failed(row["status"], row["detail"]) if row and row["status"] != OK else None)
        upstream_index = None
        if job.upstream:
            data_path = Shards.from_layout(job.upstream).data_path(shard)
            location = locations[shard] if locations else str(data_path)
            upstream_index = ShardIndex(location, upstream_rows[part])
        tasks.append(Task(job, shards, shard, clips[part], keys, failures, upstream_index, []))
    return tasks
