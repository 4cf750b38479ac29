"""Splits train, val and test, by a hash of the video or the person: new clips never move old ones."""

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.duplicates import join_groups
from pipeline.dataset.folds import assign_fold
from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.shards import read_index, row_numbers
from pipeline.store.status import NO_SOURCE, OK

NO_SPLIT = -1  # of a clip or a group that has no split yet; others are indices into SPLITS

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
    """Return the split of a group, as a hash of its name and the seed decides: "train", "val" or "test".

    group: the name. val, test: the expected fractions of groups in these splits.
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # the hash as a number from 0 to 1
    if position < test:
        return "test"
    return "val" if position < test + val else "train"


def assign_splits(
    clips: pa.Table,
    audio_index: pa.Table,
    video_index: pa.Table,
    split,
    window_seconds: float,
    modality: str = "both",
    quality: pa.Table | None = None,
) -> pa.Table:
    """Return a row of SCHEMA for every clip: its split, its group, and the reason if it has no split.

    clips: the clip table. audio_index, video_index: of the stages `spectrogram` and `frames` (or `faces`).
    split: this section of params.yaml. window_seconds: of a window. modality: what models read: "audio",
    "video" or "both". quality: data/quality.parquet, whose copies are in one split, and whose clips with a
    status other than ok have none; None: no clip is poor.
    A clip is usable if what models read of it is ok; its sound must last for at least one window. A clip in
    which nothing in view makes the sound has the status NO_SOURCE and no split. A split in the clip table
    (from the source) stays, unless split.own is false; the other clips of its group get the same split. If
    the source assigns any clip to test, no other clip becomes a test clip. With split.folds, the splits are
    those of one fold, and those of the source do not count.
    Raises UserError if the source puts clips of one group into two splits.
    """
    ids = clips["clip_id"]
    audio_rows, video_rows = (index.take(row_numbers(index, ids)) for index in (audio_index, video_index))
    status, detail = _usability(
        audio_rows if modality != "video" else None,
        video_rows if modality != "audio" else None,
        window_seconds,
    )
    without_source = np.flatnonzero((status == OK) & _lacks_source(clips))
    status[without_source] = NO_SOURCE
    detail[without_source] = "nothing in view makes the sound: only localization is measured on it"
    groups = _groups(clips, split.by)
    if quality is not None:
        groups = join_groups(clips, groups, quality, _source_splits(clips, split))
        poor = np.flatnonzero((status == OK) & pc.not_equal(quality["status"], OK).to_numpy())
        status[poor] = quality["status"].take(poor)
        detail[poor] = quality["detail"].take(poor)
    group_numbers = groups.indices.to_numpy()  # of each clip
    if split.folds is None:
        group_splits = _group_splits(clips, groups, split)
    else:
        group_splits = _group_splits_of_fold(groups, status == OK, split)
    split_numbers = pa.array(group_splits[group_numbers], mask=status != OK)
    columns = {
        "clip_id": ids,
        "split": pa.array(SPLITS).take(split_numbers),
        "group": groups.dictionary_decode(),
        "recording": _recordings(clips),
        "status": pa.array(status, pa.string()),
        "detail": pa.array(detail, pa.string()),
    }
    return pa.table(columns, SCHEMA)


def _lacks_source(clips: pa.Table) -> np.ndarray:
    """Return whether each clip has an object in view and none that sounds, (n,) bool.

    Some sources say so, in the columns `box` and `silent_box` of the clip table.
    """
    if not {"box", "silent_box"} <= set(clips.column_names):
        return np.zeros(len(clips), bool)
    return pc.and_(pc.is_null(clips["box"]), pc.is_valid(clips["silent_box"])).to_numpy()


def split_clips(clips: pa.Table, quality: pa.Table, params: Any) -> pa.Table:
    """Return data/splits.parquet for the outputs of the stages in data/: a row of SCHEMA for every clip.

    clips: the clip table. quality: data/quality.parquet. params: the content of params.yaml.
    """
    return assign_splits(
        clips,
        read_index("data/spectrogram"),
        read_index("data/faces" if params.input == "face" else "data/frames"),
        params.split,
        params.audio.window_seconds,
        params.modality,
        quality,
    )


def _group_splits(clips: pa.Table, groups: pa.DictionaryArray, split) -> np.ndarray:
    """Return the split of each group as an index into SPLITS, (groups,): that of the source, or by a hash.

    Raises UserError if the source puts clips of one group into two splits.
    """
    group_numbers, group_names = groups.indices.to_numpy(), groups.dictionary.to_pylist()
    source_splits = _source_splits(clips, split)
    # of each clip: an index into SPLITS, or NO_SPLIT
    clip_splits = pc.fill_null(pc.index_in(source_splits, value_set=pa.array(SPLITS)), NO_SPLIT).to_numpy()
    group_splits = np.full(len(group_names), NO_SPLIT)
    rows = np.flatnonzero(clip_splits != NO_SPLIT)
    # In reverse order, so that the first clip of a group is written last and decides.
    group_splits[group_numbers[rows[::-1]]] = clip_splits[rows[::-1]]
    conflicts = rows[group_splits[group_numbers[rows]] != clip_splits[rows]]
    if len(conflicts):
        row = conflicts[0]
        group = group_numbers[row]
        raise UserError(
            f"split.by: {split.by}: {group_names[group].partition(':')[2]!r} would be in two splits: the"
            f" source puts its clips in {SPLITS[group_splits[group]]} and in {SPLITS[clip_splits[row]]}: give"
            " all of them one split"
        )
    # A source that lists test clips lists all of them.
    test = 0.0 if SPLITS.index("test") in clip_splits else split.test
    for i in np.flatnonzero(group_splits == NO_SPLIT):
        group_splits[i] = SPLITS.index(split_of(group_names[i], split.val, test, split.seed))
    return group_splits


def _group_splits_of_fold(groups: pa.DictionaryArray, is_usable: np.ndarray, split) -> np.ndarray:
    """Return the split of each group in one fold of a cross-validation, as an index into SPLITS, (groups,).

    is_usable: (n,) of each clip. Groups without a usable clip are in no fold.
    """
    numbers = np.unique(groups.indices.to_numpy()[is_usable])  # of the groups with a usable clip
    names = groups.dictionary.take(pa.array(numbers)).to_pylist()
    group_splits = np.zeros(len(groups.dictionary), int)
    noun = _group_noun(split.by)
    group_splits[numbers] = assign_fold(names, split.folds, split.fold, split.val, split.seed, noun)
    return group_splits


def _group_noun(by: str) -> str:
    return "people" if by == "subject" else "videos"


def split_size_warnings(table: pa.Table, clips: pa.Table, split) -> list[str]:
    """Return a line for each split that is empty, or much smaller or larger than expected.

    That is less than half of the expected fraction of clips, or more than 1.5 times as much. A split that the
    source assigns clips to has no expected size; it is only checked for being empty.
    table: the result of `assign_splits`. clips: the clip table. split: this section of params.yaml.
    """
    has_split = pc.is_valid(table["split"])
    splits = table["split"].filter(has_split)
    if not len(splits):
        return [_describe_unusable(table)] if len(table) else []
    source_splits = _source_splits(clips, split).filter(has_split)
    splits_of_source = set(pc.unique(source_splits).to_pylist()) - {None}
    # of the clips, those for which a hash decides
    hashed_fraction = source_splits.null_count / max(len(source_splits), 1)
    test = 0.0 if "test" in splits_of_source else split.test
    fractions = {"train": 1 - split.val - test, "val": split.val, "test": test}
    group_count = len(pc.unique(table["group"].filter(has_split)))
    group_noun = _group_noun(split.by)
    lines: list[str] = []
    if split.folds is not None:  # all groups were dealt
        return lines
    for name, fraction in fractions.items():
        count = pc.sum(pc.equal(splits, name)).as_py() or 0
        actual, expected = count / max(len(splits), 1), fraction * hashed_fraction
        if count and (name in splits_of_source or expected / 2 <= actual <= expected * 3 / 2):
            continue
        if hashed_fraction:
            lines.append(
                f"{count} of {len(splits)} clips are in {name} ({actual:.0%}, not {expected:.0%}); a hash"
                f" decides for each of {group_count} {group_noun}: try another split.seed"
            )
        else:
            lines.append(
                f"no clip is in {name}, since the source splits all of them: split.own: false overrules that"
            )
    return lines


def _describe_unusable(table: pa.Table) -> str:
    """Return a line for clips of which none has a split: the most frequent status, with the first reason."""
    status, count = Counter(table["status"].to_pylist()).most_common(1)[0]
    first = pc.index(table["status"], status).as_py()
    return f"no clip can be used: {count} of {len(table)} are {status}: {table['detail'][first]}"


def one_sided_note(table: pa.Table) -> str | None:
    """Return a line about the clips that have a sound or a picture alone; None if there are none.

    table: the result of `assign_splits` for models of both modalities.
    """
    counts = {
        status: pc.sum(pc.equal(table["status"], status)).as_py() for status in ("no_audio", "no_video")
    }
    if not any(counts.values()):
        return None
    return (
        f"modality: both leaves out {sum(counts.values())} clips: {counts['no_audio']} have no sound,"
        f" {counts['no_video']} no picture; modality: video or audio takes them"
    )


def _source_splits(clips: pa.Table, split) -> pa.ChunkedArray:
    """Return each clip's split in the clip table; all null if split.own is false."""
    return clips["split"] if split.own else pa.chunked_array([pa.nulls(len(clips), pa.string())])


def _recordings(clips: pa.Table) -> pa.ChunkedArray:
    """Return an identifier of each clip's video, such as "video:a.mp4".

    It is the first of these columns that is not empty. A source may name the video in a column `video_id`, so
    that splits do not depend on the files' folder.
    """
    names = [name for name in ("video_id", "video", "audio", "clip_id") if name in clips.column_names]
    first_names = pc.coalesce(*(_text_column(clips, name) for name in names))
    return pc.binary_join_element_wise("video", first_names, ":")


def _groups(clips: pa.Table, by: str) -> pa.DictionaryArray:
    """Return each clip's group: its video; or if `by` is "subject", its person, or its video without one."""
    groups = _recordings(clips)
    if by == "subject":
        groups = pc.coalesce(
            pc.binary_join_element_wise("subject", _text_column(clips, "subject"), ":"), groups
        )
    return groups.combine_chunks().dictionary_encode()


def _text_column(clips: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column as strings, with null in place of an empty string."""
    column = clips[name].cast(pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def _usability(
    audio_rows: pa.Table | None, video_rows: pa.Table | None, window_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the status (ok if the clip can be used) and the detail of each clip, (n,) str each.

    audio_rows, video_rows: of the clips, in the indexes of their stages; null if a clip is in no index. None:
    models do not read that side; not for both. A problem of the sound takes precedence over one of the
    picture.
    """
    sides = [rows for rows in (video_rows, audio_rows) if rows is not None]
    status, detail = np.full(len(sides[0]), OK, object), np.full(len(sides[0]), "", object)
    if audio_rows is not None:
        for row in np.flatnonzero(pc.fill_null(pc.less(audio_rows["seconds"], window_seconds), False)):
            status[row] = "too_short"
            seconds = audio_rows["seconds"][row].as_py()
            detail[row] = f"{seconds:.2f} s of sound, audio.window_seconds is {window_seconds:g}"
    for index_rows in sides:  # the second overwrites the first
        failed = np.flatnonzero(pc.fill_null(pc.not_equal(index_rows["status"], OK), True))
        failures = index_rows.select(["status", "detail"]).take(failed)
        status[failed] = pc.fill_null(failures["status"], "unreadable")
        detail[failed] = pc.fill_null(failures["detail"], "not in the index: run dvc repro")
    return status, detail
