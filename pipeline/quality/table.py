"""The table data/quality.parquet: a row for each clip, with measures, groups of copies and flags."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.status import OK

# Columns with what was measured; null without sound or picture.
MEASURES = (
    "silence",
    "loudness",
    "clipping",
    "bandwidth",
    "audio_seconds",
    "change",
    "motion",
    "black",
    "letterbox",
    "cuts",
    "video_seconds",
)
SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # ok, or the flag for which split leaves it out
        pa.field("detail", pa.string(), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        *(pa.field(name, pa.int32() if name == "cuts" else pa.float64()) for name in MEASURES),
        pa.field("audio_group", pa.string()),  # the first clip with this sound; null: there is no other
        pa.field("video_group", pa.string()),
        pa.field("group", pa.string()),  # the first clip of those that split keeps together
    ]
)


class Rule(NamedTuple):
    """When a clip has a flag. measure: the column. exceeds: the comparison with the threshold.

    unless: a flag that explains this one, so that a clip has only the other: silence has no bandwidth.
    """

    measure: str
    exceeds: Callable[[np.ndarray, float], np.ndarray]
    unless: str | None = None


RULES = {  # flag -> rule; the threshold is the parameter of this name
    "silent": Rule("silence", np.greater_equal),
    "quiet": Rule("loudness", np.less_equal, unless="silent"),
    "clipped": Rule("clipping", np.greater_equal),
    "narrow": Rule("bandwidth_share", np.less_equal, unless="silent"),
    "black": Rule("black", np.greater_equal),
    "still": Rule("motion", np.less_equal, unless="black"),
    "letterboxed": Rule("letterbox", np.greater_equal),
    "cuts": Rule("cuts", np.greater_equal),
    "short": Rule("length_share", np.less),
}
DUPLICATE = "duplicate"
FLAGS = (*RULES, DUPLICATE)


class Groups(NamedTuple):
    """The first clip of the group of each clip, (n,) int, by sound, by picture, and joined; -1: none."""

    audio: np.ndarray
    video: np.ndarray
    joined: np.ndarray


def read_measures(audio: pa.Table, video: pa.Table, frames: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns MEASURES. audio, video, frames: rows of the indexes of the stages that have them."""
    seconds = {"audio_seconds": audio["seconds"], "video_seconds": frames["seconds"]}
    return {
        name: seconds[name] if name in seconds else (audio if name in audio.column_names else video)[name]
        for name in MEASURES
    }


def make_table(
    clips: pa.Table,
    measures: dict[str, pa.ChunkedArray],
    groups: Groups,
    quality: Any,
    sample_rate: int,
    clip_seconds: float,
) -> pa.Table:
    """Return a row of SCHEMA for each clip.

    clips: the clip table. measures: the columns MEASURES, with null where a clip has no sound or no picture.
    quality: this section of params.yaml. sample_rate: of the sound, Hz. clip_seconds: the duration of a clip,
    at most.
    """
    values = {name: _to_numpy(column) for name, column in measures.items()}
    values["bandwidth_share"] = values["bandwidth"] / (sample_rate / 2)
    values["length_share"] = _length_share(clips, values, clip_seconds)
    flags = _flag_clips(values, quality)
    flags[DUPLICATE] = (groups.joined >= 0) & (groups.joined != np.arange(len(clips)))
    status, detail = np.full(len(clips), OK, object), np.full(len(clips), "", object)
    for flag in reversed(quality.drop):  # the first one that a clip has is its status
        rows = np.flatnonzero(flags[flag])
        status[rows] = flag
        detail[rows] = [_explain(flag, int(row), values, groups, clips, quality) for row in rows]
    columns = {
        "clip_id": clips["clip_id"],
        "status": pa.array(status, pa.string()),
        "detail": pa.array(detail, pa.string()),
        "flags": _list_flags(flags),
        **measures,
        "audio_group": _group_ids(clips, groups.audio),
        "video_group": _group_ids(clips, groups.video),
        "group": _group_ids(clips, groups.joined),
    }
    return pa.table({name: columns[name] for name in SCHEMA.names}, SCHEMA)


def count_flags(table: pa.Table) -> dict[str, int]:
    """Return the number of clips with each flag, in the order of FLAGS."""
    counts = {
        row["values"]: row["counts"] for row in pc.value_counts(pc.list_flatten(table["flags"])).to_pylist()
    }
    return {flag: counts.get(flag, 0) for flag in FLAGS}


def count_loudness(table: pa.Table) -> dict[int, int]:
    """Return the number of clips of each loudness, in whole LUFS, from the quietest to the loudest."""
    loudness = pc.round(pc.drop_null(table["loudness"])).cast(pa.int64())
    return {row["values"]: row["counts"] for row in pc.value_counts(loudness.sort()).to_pylist()}


def _flag_clips(values: dict[str, np.ndarray], quality: Any) -> dict[str, np.ndarray]:
    """Return which clips have each flag of RULES, (n,) bool. A measure that a clip lacks gives no flag."""
    flags = {}
    for flag, rule in RULES.items():
        flags[flag] = rule.exceeds(values[rule.measure], getattr(quality, flag))  # false for NaN
        if rule.unless:
            flags[flag] &= ~flags[rule.unless]
    return flags


def _length_share(clips: pa.Table, values: dict[str, np.ndarray], clip_seconds: float) -> np.ndarray:
    """Return how much of the duration that was asked for the shorter of sound and picture has, (n,)."""
    start, end = (_to_numpy(clips[name]) for name in ("start", "end"))
    length = np.fmin(clip_seconds, end - np.nan_to_num(start))  # fmin ignores the NaN of an open end
    return np.fmin(values["audio_seconds"], values["video_seconds"]) / length


def _explain(flag: str, row: int, values: dict, groups: Groups, clips: pa.Table, quality: Any) -> str:
    """Return why a clip has a flag, in words."""
    if flag == DUPLICATE:
        return f"its sound or picture recurs from {clips['clip_id'][int(groups.joined[row])].as_py()}"
    measure, threshold = RULES[flag].measure, getattr(quality, flag)
    return f"{measure.replace('_', ' ')} {values[measure][row]:.3g}, quality.{flag} is {threshold:g}"


def _list_flags(flags: dict[str, np.ndarray]) -> pa.ListArray:
    """Return the names of the flags of each clip."""
    has_flag = np.stack([flags[flag] for flag in FLAGS], axis=1)  # (n, flags)
    offsets = np.concatenate([[0], np.cumsum(has_flag.sum(axis=1))])
    _, numbers = np.nonzero(has_flag)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(FLAGS).take(pa.array(numbers)))


def _group_ids(clips: pa.Table, groups: np.ndarray) -> pa.ChunkedArray:
    """Return the id of the clip with each number, null for -1."""
    return clips["clip_id"].take(pa.array(groups, mask=groups < 0))


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column as float64, with NaN for null."""
    return column.cast(pa.float64()).to_numpy()
