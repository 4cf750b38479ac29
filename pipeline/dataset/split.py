"""Splits train, val and test, by a hash of the video or the person: new clips never move old ones."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.shards import row_numbers
from pipeline.store.status import OK

NONE = -1

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),  # null if the clip cannot be used
        pa.field("group", pa.string(), nullable=False),  # all clips of a group are in one split
        pa.field("recording", pa.string(), nullable=False),  # the same for clips of one video
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def split_of(group: str, val: float, test: float, seed: int) -> str:
    """Return the split of a group. It depends only on the group's name, the shares and the seed."""
    h = int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64
    return "test" if h < test else "val" if h < test + val else "train"


def assign(
    clips: pa.Table, spectrogram: pa.Table, frames: pa.Table, split, window_seconds: float
) -> pa.Table:
    """Return a row for every clip: its split, its group, and the reason if it has no split.

    clips: the clip table. spectrogram, frames: the two indexes. split: this section of params.yaml.
    A clip is usable if both its sound and its picture are ok and its sound lasts for at least one window. A
    split in the clip table (from the source) stays, unless split.own is false; the other clips of its group
    get the same split. If the source assigns any clip to test, no other clip becomes a test clip.
    Raises UserError if the source puts clips of one group into two splits.
    """
    ids = clips["clip_id"]
    sound, picture = (index.take(row_numbers(index, ids)) for index in (spectrogram, frames))
    status, detail = _usability(sound, picture, window_seconds)
    groups = _groups(clips, split.by)
    group_number, group_names = groups.indices.to_numpy(), groups.dictionary.to_pylist()
    source_splits = _source_splits(clips, split)
    clip_split = pc.fill_null(pc.index_in(source_splits, value_set=pa.array(SPLITS)), NONE).to_numpy()
    # A source that lists test clips lists all of them.
    test = 0.0 if SPLITS.index("test") in clip_split else split.test
    with_split = np.flatnonzero(clip_split != NONE)
    group_split = np.full(len(group_names), NONE)
    # In reverse order: the first clip of a group decides.
    group_split[group_number[with_split[::-1]]] = clip_split[with_split[::-1]]
    conflicts = with_split[group_split[group_number[with_split]] != clip_split[with_split]]
    if len(conflicts):
        row = conflicts[0]
        group = group_number[row]
        raise UserError(
            f"split.by: {split.by}: {group_names[group].partition(':')[2]!r} would be in two splits: the"
            f" source puts its clips in {SPLITS[group_split[group]]} and in {SPLITS[clip_split[row]]}: give"
            " all of them one split"
        )
    for i in np.flatnonzero(group_split == NONE):
        group_split[i] = SPLITS.index(split_of(group_names[i], split.val, test, split.seed))
    split_number = pa.array(group_split[group_number], mask=status != OK)
    columns = [ids, pa.array(SPLITS).take(split_number), groups.dictionary_decode()]
    columns += [_recordings(clips), status, detail]
    return pa.table([pa.array(c, pa.string()) if isinstance(c, np.ndarray) else c for c in columns], SCHEMA)


def share_warnings(table: pa.Table, clips: pa.Table, split) -> list[str]:
    """Return a line for each split that is empty, or has less than half or over 1.5 times its share of clips.

    table: the result of `assign`. clips, split: as in `assign`. A split that the source assigns clips to
    has no expected share; it is only checked for being empty.
    """
    has_split = pc.is_valid(table["split"])
    splits, source_splits = table["split"].filter(has_split), _source_splits(clips, split).filter(has_split)
    splits_of_source = set(pc.unique(source_splits).to_pylist()) - {None}
    hashed_share = source_splits.null_count / max(
        len(source_splits), 1
    )  # of the clips that a hash decides for
    test = 0.0 if "test" in splits_of_source else split.test
    shares = {"train": 1 - split.val - test, "val": split.val, "test": test}
    group_count = len(pc.unique(table["group"].filter(has_split)))
    group_kind = "people" if split.by == "subject" else "videos"
    lines = []
    for name, share in shares.items():
        count = pc.sum(pc.equal(splits, name)).as_py() or 0
        actual, expected = count / max(len(splits), 1), share * hashed_share
        if count and (name in splits_of_source or expected / 2 <= actual <= expected * 3 / 2):
            continue
        if hashed_share:
            lines.append(
                f"{count} of {len(splits)} clips are in {name} ({actual:.0%}, not {expected:.0%}); a hash"
                f" decides for each of {group_count} {group_kind}: try another split.seed"
            )
        else:
            lines.append(
                f"no clip is in {name}, since the source splits all of them: split.own: false overrules that"
            )
    return lines


def _source_splits(clips: pa.Table, split) -> pa.ChunkedArray:
    """Return each clip's split in the clip table; all null if split.own is false."""
    return clips["split"] if split.own else pa.chunked_array([pa.nulls(len(clips), pa.string())])


def _recordings(clips: pa.Table) -> pa.ChunkedArray:
    """Return an identifier of each clip's video.

    A source may name the video in a column `video_id`, so that splits do not depend on the files' folder.
    """
    names = [name for name in ("video_id", "video", "audio", "clip_id") if name in clips.column_names]
    return pc.binary_join_element_wise("video", pc.coalesce(*(_text(clips, name) for name in names)), ":")


def _groups(clips: pa.Table, by: str) -> pa.DictionaryArray:
    """Return each clip's group: its video, or by subject its person (its video if it has no subject)."""
    groups = _recordings(clips)
    if by == "subject":
        groups = pc.coalesce(pc.binary_join_element_wise("subject", _text(clips, "subject"), ":"), groups)
    return groups.combine_chunks().dictionary_encode()


def _text(clips: pa.Table, name: str) -> pa.ChunkedArray:
    column = clips[name].cast(pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def _usability(sound: pa.Table, picture: pa.Table, window_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return status and detail of each clip. A problem of the sound takes precedence over the picture's."""
    status, detail = np.full(len(sound), OK, object), np.full(len(sound), "", object)
    for row in np.flatnonzero(pc.fill_null(pc.less(sound["seconds"], window_seconds), False)):
        status[row] = "too_short"
        seconds = sound["seconds"][row].as_py()
        detail[row] = f"{seconds:.2f} s of sound, audio.window_seconds is {window_seconds:g}"
    for index in (picture, sound):
        rows = np.flatnonzero(pc.fill_null(pc.not_equal(index["status"], OK), True))
        reasons = index.select(["status", "detail"]).take(rows)
        status[rows] = pc.fill_null(reasons["status"], "unreadable")
        detail[rows] = pc.fill_null(reasons["detail"], "not in the index: run dvc repro")
    return status, detail
