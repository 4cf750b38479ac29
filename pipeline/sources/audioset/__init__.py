"""The source `audioset`: AudioSet's published segments, downloaded from YouTube or from download.url.

A clip is a segment of a video. Its URL has the segment as a media fragment (W3C, #t=30,40). The downloaded
file holds the segment alone, so `start` and `end` are null. `labels` in the clip table are those of its
labels that the parameters select, `audioset` are all. The published evaluation set is the test split.

Source: Gemmeke et al., Audio Set, ICASSP 2017; lists under CC BY 4.0.
"""

import hashlib
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download import queue
from pipeline.errors import UserError
from pipeline.sources.audioset import lists
from pipeline.store import clip_table
from pipeline.store.formats import digest
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams, Params
    from pipeline.config.data import AudioSetParams

URL = "https://www.youtube.com/watch?v="  # identifies a clip; the download uses download.url
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
EXTRA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("audioset", pa.list_(pa.string())),  # all its labels, by AudioSet's names
    ]
)


def clips(data: "DataParams") -> pa.Table:
    """Return the clip table, in the order of the lists.

    A segment with an invalid video id gets no URL: its row fails with a reason in the stage `download`.
    Raises UserError if a list cannot be read, a class is unknown, or no segment has a selected class.
    """
    selection = data.audioset
    classes = lists.Classes.read(selection)
    segments = [
        (segment, split)
        for split, sources, key in ((None, selection.train, "train"), ("test", selection.eval, "eval"))
        for source in sources
        for segment in lists.segments(source, f"data.audioset.{key}", classes)
    ]
    rows = []
    for segment, split in segments:
        if labels := classes.selected_names(segment.mids):
            rows.append(_row(segment, split, labels, classes))
    rows = _limit(_merge_duplicates(rows), selection)
    if not rows:
        raise UserError(
            f"data.audioset: none of {len(segments)} segments has one of the {len(classes.selected)} selected"
            " classes: check data.audioset.classes and the lists"
        )
    return clip_table.from_rows(rows, EXTRA)


def _row(segment: lists.Segment, split: str | None, labels: list[str], classes: lists.Classes) -> dict:
    is_valid = ID.fullmatch(segment.video) is not None
    name = segment.video if is_valid else f"line_{hashlib.sha256(segment.video.encode()).hexdigest()[:11]}"
    # Command-line tools would read a leading - as an option.
    name = f"{name}_{segment.start:g}" if name[0] != "-" else f"_{name}_{segment.start:g}"
    url = f"{URL}{segment.video}#t={segment.start:g},{segment.end:g}" if is_valid else None
    return {
        "clip_id": name,
        "audio": url,
        "video": url,
        "labels": labels,
        "split": split,
        "video_id": segment.video,
        "audioset": [classes.names[mid] for mid in segment.mids],
    }


def _merge_duplicates(rows: list[dict]) -> list[dict]:
    """Keep one row of each segment. One that is in several lists is for testing if one of the lists is."""
    unique: dict[str, dict] = {}
    for row in rows:
        first = unique.setdefault(row["clip_id"], row)
        first["split"] = first["split"] or row["split"]
    return list(unique.values())


def _limit(rows: list[dict], selection: "AudioSetParams") -> list[dict]:
    """Keep at most `selection.per_class` rows of each label and split, and `selection.clips` in total.

    The rows are picked in the order of a hash, so that a higher limit only adds rows.
    """

    def hash_key(row: dict) -> bytes:
        return hashlib.sha256(f"{selection.seed}:{row['clip_id']}".encode()).digest()

    shuffled = sorted(rows, key=hash_key)
    if selection.per_class:
        counts: dict[tuple[str, str | None], int] = {}  # (label, split) -> rows so far, kept or not
        kept_rows = []
        for row in shuffled:
            ranks = []
            for label in row["labels"]:
                key = label, row["split"]
                counts[key] = counts.get(key, 0) + 1
                ranks.append(counts[key])
            if max(ranks) <= selection.per_class:
                kept_rows.append(row)
        shuffled = kept_rows
    clip_ids = {row["clip_id"] for row in shuffled[: selection.clips]}
    return [row for row in rows if row["clip_id"] in clip_ids]


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return a line for invalid video ids and one for classes without a clip, if there are any."""
    lines = []
    if invalid := table["video"].null_count:
        lines.append(f"{invalid} segments have an invalid video id: the stage download will refuse them")
    labels = {label for names in table["labels"].to_pylist() for label in names}
    if unused := [name for name in lists.Classes.read(data.audioset).selected if name not in labels]:
        names = ", ".join(unused[:5]) + (", …" if len(unused) > 5 else "")
        lines.append(f"{len(unused)} of the classes have no clip: {names}")
    return lines


def media_key(params: "Params") -> str:
    """Return what the media depend on besides the row.

    Without the code: a change of it would download everything again.
    """
    return digest("audioset", params.download.height)


def stamp(clip: dict) -> int | None:
    """Return how often the user requested another try (python -m app.failures --retry)."""
    return queue.open_log().count_retry_requests(clip["clip_id"]) or None


def collect(clips: list[dict], params: "Params") -> None:
    """Download the clips that were not downloaded yet."""
    queue.download_clips(clips, params.download)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Return what `collect` downloaded, or why that failed."""
    return queue.load_outcome(clip)


def finish(table: pa.Table, params: "Params") -> None:
    """Delete downloads that shards hold now. Raises UserError if too many clips are missing."""
    queue.delete_stored_files(table)
    queue.check_missing(table, params.download)
