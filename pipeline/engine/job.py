"""A data stage as a job, and each of its shards as a task."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from pipeline.store.formats import Layout
from pipeline.store.shards import ShardIndex, Shards, StoredRow
from pipeline.store.status import Outcome

# Computes values: (rows of the clip table, the clips' values of the stage before) -> one Outcome per clip.
Step = Callable[[list[dict], list], Iterable[Outcome]]


@dataclass(frozen=True)
class Job:
    """What a data stage computes.

    name: of the stage, for messages.
    step: returns one Outcome per clip, in order. It gets only clips that have status ok in the stage before.
    shards: layout of the output.
    fingerprint: hash of the parameters and the code, which all values depend on.
    upstream: layout of the stage before, whose values the step gets; None: the step gets no values.
    file_stamps: for each clip, a value that changes when its source files change (such as their size and
        time); None for a stage that reads no source files.
    opener: context manager that converts upstream values to what the step takes; None: no conversion.
    tasks_per_worker: tasks after which a new process replaces a worker of this machine, as decoders leak a
        little memory with every file; 0: never.
    gpu_share: part of a GPU that a task takes on a cluster that has GPUs; 0: none.
    """

    name: str
    step: Step
    shards: Layout
    fingerprint: str
    upstream: Layout | None = None
    file_stamps: list | None = None
    opener: Callable | None = None
    tasks_per_worker: int = 8
    gpu_share: float = 0.0


@dataclass(frozen=True)
class Task:
    """One shard of a job, as a worker gets it. All lists have one entry per clip of the shard.

    shards: the output folder of the job.
    shard: number of this shard, from 0.
    clips: rows of the clip table.
    keys: hash of everything that a clip's value depends on (pipeline/engine/clip_keys.py).
    upstream_failures: outcomes of clips that failed in the stage before; None for other clips.
    upstream_index: index of the same shard of the stage before; None without a stage before.
    reusable_rows: index rows of an earlier run with the same keys, whose values are copied; None for other
        clips.
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
        """Compute and write the values of the shard. Return its index, the content of a Parquet file."""
        outcomes = self.load_existing_outcomes()
        positions = [i for i, outcome in enumerate(outcomes) if outcome is None]
        for i, outcome in zip(positions, self.compute(positions), strict=True):
            outcomes[i] = outcome
        return self.write_shard(outcomes)

    def load_existing_outcomes(self) -> list[Outcome | None]:
        """Return the outcomes that need no computation: failed upstream, or stored by an earlier run.

        The entry of a clip that must be computed is None.
        """
        stored_outcomes = self.shards.read_outcomes(self.reusable_rows)
        return [
            failure or outcome
            for failure, outcome in zip(self.upstream_failures, stored_outcomes, strict=True)
        ]

    def compute(self, positions: list[int]) -> list[Outcome]:
        """Run the step on the clips at these positions of the shard. Return their outcomes, in this order."""
        clips = [self.clips[i] for i in positions]
        if not clips:
            return []
        values_by_id: dict[str, Any] = {}
        if self.job.upstream and self.upstream_index:
            values_by_id = Shards.from_layout(self.job.upstream).read_values(self.upstream_index)
        values = [values_by_id.get(clip["clip_id"]) for clip in clips]
        with self.job.opener(values) if self.job.opener else nullcontext(values) as inputs:
            return list(self.job.step(clips, inputs))

    def write_shard(self, outcomes: list[Outcome | None]) -> bytes:
        """Write the values of the shard. Return its index, the content of a Parquet file.

        outcomes: one per clip of the shard. None of them is None at this point.
        """
        complete = [outcome for outcome in outcomes if outcome is not None]
        return self.shards.write_values(self.shard, self.clips, self.keys, complete)
