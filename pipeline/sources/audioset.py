"""The source `audioset`: AudioSet's published segments, fetched from YouTube or wherever download.url says.

A clip is a segment of a video, and its address has the segment in it as a media fragment (W3C, #t=30,40):
what arrives is the segment alone, so that `start` and `end` are null. Labels are those of the chosen classes
that it has; `audioset` in the clip table are all. The published evaluation set is the test split.

Source: Gemmeke et al., Audio Set, ICASSP 2017; lists under CC BY 4.0.
"""

import hashlib
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download import queue
from pipeline.errors import UserError
from pipeline.sources import audioset_lists as lists
from pipeline.store import clip_table
from pipeline.store.formats import digest
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # sources are part of keys, the reader of params.yaml is not
    from pipeline.config import DataParams

ADDRESS = "https://www.youtube.com/watch?v="  # what a clip is; download.url says from where it is fetched
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
EXTRA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("audioset", pa.list_(pa.string())),  # all its labels, by AudioSet's names
    ]
)


def clips(data: "DataParams") -> pa.Table:
    """The clip table, in the order of the lists.

    A segment whose id is none has no address, and becomes a row that says so.
    Raises UserError where a list cannot be read, a class is not known, or no segment is chosen.
    """
    wanted = data.audioset
    classes = lists.Classes.read(wanted)
    segments = [
        (segment, split)
        for split, sources, key in ((None, wanted.train, "train"), ("test", wanted.eval, "eval"))
        for source in sources
        for segment in lists.segments(source, f"data.audioset.{key}", classes)
    ]
    rows = []
    for segment, split in segments:
        if labels := classes.of(segment.mids):
            rows.append(_row(segment, split, labels, classes))
    rows = _limited(_once(rows), wanted)
    if not rows:
        raise UserError(
            f"data.audioset: none of {len(segments)} segments has one of the {len(classes.chosen)} classes"
            " that are asked for: see data.audioset.classes and the lists"
        )
    return clip_table.from_rows(rows, EXTRA)


def _row(segment: lists.Segment, split: str | None, labels: list[str], classes: lists.Classes) -> dict:
    fine = ID.fullmatch(segment.video) is not None
    name = segment.video if fine else f"line_{hashlib.sha256(segment.video.encode()).hexdigest()[:11]}"
    # A name that begins with - would be an option to many a tool.
    name = f"{name}_{segment.start:g}" if name[0] != "-" else f"_{name}_{segment.start:g}"
    address = f"{ADDRESS}{segment.video}#t={segment.start:g},{segment.end:g}" if fine else None
    return {
        "clip_id": name,
        "audio": address,
        "video": address,
        "labels": labels,
        "split": split,
        "video_id": segment.video,
        "audioset": [classes.names[mid] for mid in segment.mids],
    }


def _once(rows: list[dict]) -> list[dict]:
    """A segment that stands in several lists comes once, and for testing where one of them says so."""
    found: dict[str, dict] = {}
    for row in rows:
        kept = found.setdefault(row["clip_id"], row)
        kept["split"] = kept["split"] or row["split"]
    return list(found.values())


def _limited(rows: list[dict], wanted) -> list[dict]:
    """At most so many of each class and in all: the first by a hash, so that a higher limit only adds."""

    def place(row: dict) -> bytes:
        return hashlib.sha256(f"{wanted.seed}:{row['clip_id']}".encode()).digest()

    ordered = sorted(rows, key=place)
    if wanted.per_class:
        seen: dict[tuple[str, str | None], int] = {}
        kept = []
        for row in ordered:
            ranks = []
            for label in row["labels"]:
                key = label, row["split"]
                seen[key] = seen.get(key, 0) + 1
                ranks.append(seen[key])
            if max(ranks) <= wanted.per_class:
                kept.append(row)
        ordered = kept
    chosen = {row["clip_id"] for row in ordered[: wanted.clips]}
    return [row for row in rows if row["clip_id"] in chosen]


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """How many have an id that is none; classes that no clip has."""
    lines = []
    if bad := table["video"].null_count:
        lines.append(f"{bad} segments have an id that is none: they will be refused")
    there = {label for names in table["labels"].to_pylist() for label in names}
    if gone := [name for name in lists.Classes.read(data.audioset).chosen if name not in there]:
        some = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        lines.append(f"{len(gone)} of the classes have no clip: {some}")
    return lines


def made_from(params) -> str:
    """What a clip's media depend on beside its row: not the code, or mending it would fetch all anew."""
    return digest("audioset", params.download.height)


def stamp(clip: dict) -> int | None:
    """How often somebody asked for it again (python -m app.failures)."""
    return queue.Log.of().asked(clip["clip_id"]) or None


def collect(clips: list[dict], params) -> None:
    queue.collect(clips, params.download)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """What `collect` brought, or why it did not."""
    return queue.taken(clip)


def settle(table: pa.Table, params) -> None:
    queue.settle(table, params.download)
