"""Train, validation and test: by a hash of the video or the person, so that new clips move no old one."""

import hashlib

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.outcome import OK

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),  # null where the clip cannot be used
        pa.field("group", pa.string(), nullable=False),  # clips of one group are all on one side
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
    source gives is kept; a group with a clip in it follows that split, so that no group is on two sides.
    Where a source says which clips are for testing, no others are. Raises UserError where a source puts clips
    of one group on two sides.
    """
    sound = {r["clip_id"]: r for r in spectrogram.to_pylist()}
    picture = {r["clip_id"]: r for r in frames.to_pylist()}
    rows = clips.to_pylist()
    groups = [_group(row, split.by) for row in rows]
    given: dict[str, str] = {}
    # A source that names clips for testing has named them all: no other becomes one.
    test = 0.0 if "test" in clips["split"].to_pylist() else split.test
    for row, group in zip(rows, groups, strict=True):
        if row["split"] and given.setdefault(group, row["split"]) != row["split"]:
            raise UserError(
                f"split.by: {split.by}: {group.partition(':')[2]!r} would be on two sides: clips in"
                f" {given[group]} and in {row['split']}, as the source says: give all of them one split"
            )
    table = []
    for row, group in zip(rows, groups, strict=True):
        status, detail = _usable(sound.get(row["clip_id"]), picture.get(row["clip_id"]), window_seconds)
        name = row["split"] or given.get(group) or side(group, split.val, test, split.seed)
        table.append((row["clip_id"], name if status == OK else None, group, status, detail))
    columns = zip(*table, strict=True) if table else [[]] * len(SCHEMA)
    return pa.table([list(c) for c in columns], schema=SCHEMA)


def _group(row: dict, by: str) -> str:
    """Clips cut from one video belong together; by subject, all that one person did.

    A source may name the video in a column `video_id`, so that splits do not depend on where the files lie.
    """
    if by == "subject" and row["subject"]:
        return f"subject:{row['subject']}"
    return f"video:{row.get('video_id') or row['video'] or row['audio'] or row['clip_id']}"


def _usable(sound: dict | None, picture: dict | None, window_seconds: float) -> tuple[str, str]:
    for account in (sound, picture):
        if account is None:
            return "unreadable", "not in the index: run dvc repro"
        if account["status"] != OK:
            return account["status"], account["detail"]
    assert sound is not None  # told above
    if sound["seconds"] < window_seconds:
        return "too_short", f"{sound['seconds']:.2f} s of sound, audio.window_seconds is {window_seconds:g}"
    return OK, ""
