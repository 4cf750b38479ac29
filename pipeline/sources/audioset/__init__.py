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
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
EXTRA = pa.schema(  # the columns of the clip table that only this source has
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
    n_segments = 0
    rows = []
    for split, sources, key in ((None, selection.train, "train"), ("test", selection.eval, "eval")):
        for source in sources:
            for segment in lists.read_segments(source, f"data.audioset.{key}", classes):
                n_segments += 1
                if labels := classes.selected_names(segment.mids):
                    rows.append(_make_row(segment, split, labels, classes))
    rows = _select_rows(_merge_duplicates(rows), selection)
    if not rows:
        raise UserError(
            f"data.audioset: none of {n_segments} segments has one of the {len(classes.selected)} selected"
            " classes: check data.audioset.classes and the lists"
        )
    return clip_table.from_rows(rows, EXTRA)


def _make_row(segment: lists.Segment, split: str | None, labels: list[str], classes: lists.Classes) -> dict:
    """Return the row of the clip table for a segment. labels: its selected classes. classes: all of them."""
    is_valid = VIDEO_ID.fullmatch(segment.video) is not None
    # A clip id must be safe as a file name, which an invalid video id may not be.
    name = segment.video if is_valid else f"line_{hashlib.sha256(segment.video.encode()).hexdigest()[:11]}"
    if name.startswith("-"):  # command-line tools would read it as an option
        name = f"_{name}"
    url = f"{URL}{segment.video}#t={segment.start:g},{segment.end:g}" if is_valid else None
    return {
        "clip_id": f"{name}_{segment.start:g}",
        "audio": url,
        "video": url,
        "labels": labels,
        "split": split,
        "video_id": segment.video,
        "audioset": [classes.names[mid] for mid in segment.mids],
    }


def _merge_duplicates(rows: list[dict]) -> list[dict]:
    """Return one row of each segment, the first. If one of the others is for testing, so is this one."""
    first_rows: dict[str, dict] = {}  # clip_id -> row
    for row in rows:
        first_row = first_rows.setdefault(row["clip_id"], row)
        first_row["split"] = first_row["split"] or row["split"]
    return list(first_rows.values())


def _select_rows(rows: list[dict], selection: "AudioSetParams") -> list[dict]:
    """Return at most `selection.per_class` rows of each label and split, and `selection.clips` in total.

    They are selected at random, in the order of a hash, so that a higher limit only adds rows. The result is
    in the order of `rows`.
    """

    def hash_row(row: dict) -> bytes:
        return hashlib.sha256(f"{selection.seed}:{row['clip_id']}".encode()).digest()

    candidates = sorted(rows, key=hash_row)
    if selection.per_class:
        candidates = _limit_classes(candidates, selection.per_class)
    clip_ids = {row["clip_id"] for row in candidates[: selection.clips]}
    return [row for row in rows if row["clip_id"] in clip_ids]


def _limit_classes(rows: list[dict], per_class: int) -> list[dict]:
    """Return the rows that are among the first `per_class` rows of each of their labels, by split.

    Rows that are left out count too: so whether a row is in the result does not depend on other limits.
    """
    counts: dict[tuple[str, str | None], int] = {}  # (label, split) -> rows so far
    selected_rows = []
    for row in rows:
        ranks = []
        for label in row["labels"]:
            key = label, row["split"]
            counts[key] = counts.get(key, 0) + 1
            ranks.append(counts[key])
        if max(ranks) <= per_class:
            selected_rows.append(row)
    return selected_rows


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return a line for invalid video ids and one for classes without a clip, if there are any."""
    lines = []
    if n_invalid := table["video"].null_count:
        lines.append(f"{n_invalid} segments have an invalid video id: the stage download will refuse them")
    labels = {label for names in table["labels"].to_pylist() for label in names}
    if unused := [name for name in lists.Classes.read(data.audioset).selected if name not in labels]:
        names = ", ".join(unused[:5]) + (", …" if len(unused) > 5 else "")
        lines.append(f"{len(unused)} of the classes have no clip: {names}")
    return lines


def media_key(params: "Params") -> str:
    """Return a hash of the parameters that the media depend on besides the row of the clip.

    It does not cover the code: otherwise, every change of the code would download everything again.
    """
    return digest("audioset", params.download.height)


def stamp(clip: dict) -> int | None:
    """Return how often the user asked for another try (python -m app.failures --retry); None: never.

    Each request changes the value, so that the clip is processed again.
    """
    return queue.open_log().count_retry_requests(clip["clip_id"]) or None


def collect(clips: list[dict], params: "Params") -> None:
    """Download the clips that were not downloaded yet. clips: rows of the clip table."""
    queue.download_clips(clips, params.download)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Return the outcome of a clip's download: its file as the value, or the failure."""
    return queue.load_outcome(clip)


def finish(table: pa.Table, params: "Params") -> None:
    """Delete the downloaded files that shards hold now. table: the index of the stage `download`.

    Raises UserError if too many clips are missing for temporary reasons.
    """
    queue.delete_stored_files(table)
    queue.check_missing(table, params.download)
