"""Decide which clips a data stage must compute again: those whose key an earlier run has not stored.

The key of a clip is a hash of everything that its value depends on: the clip's row of the clip table, its
row in the index of the stage before, the state of its source files, and the parameters and the code of the
stage. The index of a stage stores the key of every clip beside its value.

`runner.run` makes the new keys with `make_keys` and compares them with the stored ones: `Shards.start_run`
(pipeline/store/shards.py) keeps each shard whose keys are all the same, and `Shards.reusable_rows` finds the
rows with valid keys in all other shards.
"""

from collections.abc import Callable
from typing import Any

from pipeline.engine.job import Job
from pipeline.errors import UserError
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest
from pipeline.store.shards import Shards, read_index, shard_locations

# Keys and sections of params.yaml that change no value: where and how fast a stage runs, and into which files
# its values are written.
PARAMS_WITHOUT_EFFECT = ("engine", "download", "data.shard_size")
# Columns of an index that say where a value is stored and how it was made, not what it is (the column
# `digest` says that). So a new parameter of the stage before costs nothing here if its value is the same.
COLUMNS_WITHOUT_EFFECT = ("shard", "row", "key")


def compute_fingerprint(params: Any, *code: str | type | Callable) -> str:
    """Return a hash of the parameters and the code of a stage, which the values of all clips depend on.

    params: the keys of params.yaml that the stage may read (pipeline.config.View).
    code: the step and its opener (classes or functions), and the names of modules that they import by name.
    """
    values = {key: value for key, value in params.to_dict().items() if key not in PARAMS_WITHOUT_EFFECT}
    return digest(values, code_digest(*code))


def make_keys(job: Job, clips: list[dict], upstream_rows: list[dict] | None) -> list[str]:
    """Return the key of each clip.

    clips: rows of the clip table. upstream_rows: the row of each clip in the index of the stage before; None
    if the job has no stage before.
    """
    file_stamps = job.file_stamps or [None] * len(clips)
    keys = []
    for i, clip in enumerate(clips):
        upstream_content = None
        if upstream_rows is not None:
            row = upstream_rows[i]
            upstream_content = {name: row[name] for name in row if name not in COLUMNS_WITHOUT_EFFECT}
        keys.append(digest(clip, upstream_content, file_stamps[i], job.fingerprint))
    return keys


def read_upstream(job: Job, clips: list[dict]) -> tuple[list[dict] | None, list[str]]:
    """Return the row of each clip in the index of the stage before, and where the values of its shards are.

    The rows are None if the job has no stage before. The list of paths or URLs is empty if the values are
    stored beside the index. Raises UserError if that stage has not been run for exactly these clips.
    """
    if job.upstream is None:
        return None, []
    index = read_index(job.upstream.folder)
    rows = index.to_pylist()
    if [row["clip_id"] for row in rows] != [clip["clip_id"] for clip in clips]:
        raise UserError(f"{job.upstream.folder}: made for other clips than data/clips.parquet: run dvc repro")
    return rows, shard_locations(index)


def find_clips_to_compute(job: Job, clips: list[dict]) -> list[dict]:
    """Return those of `clips` that `runner.run` would compute, because no earlier run stored their key."""
    upstream_rows, _ = read_upstream(job, clips)
    keys = make_keys(job, clips, upstream_rows)
    reusable_keys = Shards.from_layout(job.shards).reusable_keys()
    return [clip for clip, key in zip(clips, keys, strict=True) if key not in reusable_keys]
