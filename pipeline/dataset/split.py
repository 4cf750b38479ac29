"""Train, validation and test: by a hash of the video or the person, so that new clips move no old one."""

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
        pa.field("split", pa.string()),  # null where the clip cannot be used
        pa.field("group", pa.string(), nullable=False),  # clips of one group are all on one side
        pa.field("recording", pa.string(), nullable=False),  # clips of one video have the same
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def side(group: str, val: float, test: float, seed: int) -> str:
    """The split of a group: depends on its name and the seed alone, whatever else there is."""
    h = int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64
    return "test" if h < test else "val" if h < test + val else "train"


def assign(
    clips: pa.Table, spectrogram: pa.Table, frames: pa.Table, split, window_seconds: float
) -> pa.Table:
    """A row for every clip: its split, its group, and why it has no split where it has none.

    clips: the clip table. spectrogram, frames: the two indexes. split: the section of params.yaml.
    A clip is usable where both its sound and its picture are there and last for one window. A split that the
    source gives is kept, unless split.own is false; a group with a clip in it follows that split, so that no
    group is on two sides. Where a source says which clips are for testing, no others are. Raises UserError
    where a source puts clips of one group on two sides.
    """
    ids = clips["clip_id"]
    sound, picture = (index.take(row_numbers(index, ids)) for index in (spectrogram, frames))
    status, detail = _usable(sound, picture, window_seconds)
    groups = _groups(clips, split.by)
    number, names = groups.indices.to_numpy(), groups.dictionary.to_pylist()
    own = pc.fill_null(pc.index_in(_own(clips, split), value_set=pa.array(SPLITS)), NONE).to_numpy()
    # A source that names clips for testing has named them all: no other becomes one.
    test = 0.0 if SPLITS.index("test") in own else split.test
    known = np.flatnonzero(own != NONE)
    given = np.full(len(names), NONE)
    given[number[known[::-1]]] = own[known[::-1]]  # the first of a group's counts
    if len(wrong := known[given[number[known]] != own[known]]):
        row = wrong[0]
        raise UserError(
            f"split.by: {split.by}: {names[number[row]].partition(':')[2]!r} would be on two sides: clips in"
            f" {SPLITS[given[number[row]]]} and in {SPLITS[own[row]]}, as the source says: give all of them"
            " one split"
        )
    for i in np.flatnonzero(given == NONE):
        given[i] = SPLITS.index(side(names[i], split.val, test, split.seed))
    chosen = pa.array(given[number], mask=status != OK)
    columns = [ids, pa.array(SPLITS).take(chosen), groups.dictionary_decode()]
    columns += [_recordings(clips), status, detail]
    return pa.table([pa.array(c, pa.string()) if isinstance(c, np.ndarray) else c for c in columns], SCHEMA)


def warnings(table: pa.Table, clips: pa.Table, split) -> list[str]:
    """A line for each side that is empty, or has less than half or more than one and a half times its share.

    table: of `assign`. A side that the source itself gives to clips has no share to be far from.
    """
    used = pc.is_valid(table["split"])
    sides, own = table["split"].filter(used), _own(clips, split).filter(used)
    sides_of_source = set(pc.unique(own).to_pylist()) - {None}
    free = own.null_count / max(len(own), 1)  # share of the clips that a hash decides for
    test = 0.0 if "test" in sides_of_source else split.test
    shares = {"train": 1 - split.val - test, "val": split.val, "test": test}
    groups = len(pc.unique(table["group"].filter(used)))
    kind = "people" if split.by == "subject" else "videos"
    lines = []
    for name, share in shares.items():
        count = pc.sum(pc.equal(sides, name)).as_py() or 0
        real, share = count / max(len(sides), 1), share * free
        if count and (name in sides_of_source or share / 2 <= real <= share * 3 / 2):
            continue
        if free:
            why = f"a hash decides for each of {groups} {kind}: another split.seed decides otherwise"
            lines.append(f"{count} of {len(sides)} clips are in {name} ({real:.0%}, not {share:.0%}); {why}")
        else:
            lines.append(
                f"no clip is in {name}, since the source splits all of them: split.own: false overrules that"
            )
    return lines


def _own(clips: pa.Table, split) -> pa.ChunkedArray:
    """The split that the source gives each clip, null where it gives none, or is overruled."""
    return clips["split"] if split.own else pa.chunked_array([pa.nulls(len(clips), pa.string())])


def _recordings(clips: pa.Table) -> pa.ChunkedArray:
    """What clips that were cut from one video have in common.

    A source may name the video in a column `video_id`, so that splits do not depend on where the files lie.
    """
    names = [name for name in ("video_id", "video", "audio", "clip_id") if name in clips.column_names]
    return pc.binary_join_element_wise("video", pc.coalesce(*(_text(clips, name) for name in names)), ":")


def _groups(clips: pa.Table, by: str) -> pa.DictionaryArray:
    """Clips cut from one video belong together; by subject, all that one person did."""
    groups = _recordings(clips)
    if by == "subject":
        groups = pc.coalesce(pc.binary_join_element_wise("subject", _text(clips, "subject"), ":"), groups)
    return groups.combine_chunks().dictionary_encode()


def _text(clips: pa.Table, name: str) -> pa.ChunkedArray:
    column = clips[name].cast(pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def _usable(sound: pa.Table, picture: pa.Table, window_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Status and detail of each clip. What is wrong with its sound counts before what is with its picture."""
    status, detail = np.full(len(sound), OK, object), np.full(len(sound), "", object)
    for row in np.flatnonzero(pc.fill_null(pc.less(sound["seconds"], window_seconds), False)):
        status[row] = "too_short"
        seconds = sound["seconds"][row].as_py()
        detail[row] = f"{seconds:.2f} s of sound, audio.window_seconds is {window_seconds:g}"
    for index in (picture, sound):
        rows = np.flatnonzero(pc.fill_null(pc.not_equal(index["status"], OK), True))
        told = index.select(["status", "detail"]).take(rows)
        status[rows] = pc.fill_null(told["status"], "unreadable")
        detail[rows] = pc.fill_null(told["detail"], "not in the index: run dvc repro")
    return status, detail
