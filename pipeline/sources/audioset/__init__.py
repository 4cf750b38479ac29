"""The source `audioset`: AudioSet's published segments, downloaded from YouTube or from download.url.

A clip is a segment of a video. Its URL has the segment as a media fragment (W3C, #t=30,40). The downloaded
file holds the segment alone, so `start` and `end` are null. `labels` in the clip table are those of its
labels that the parameters select, `audioset` are all. The published evaluation set is the test split.

Source: Gemmeke et al., Audio Set, ICASSP 2017; lists under CC BY 4.0.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.audioset import lists
from pipeline.sources.messages import first_names
from pipeline.sources.published import media
from pipeline.sources.published.downloads import collect, finish, load, media_key, stamp
from pipeline.sources.published.in_place import fetch
from pipeline.sources.published.selection import select_rows
from pipeline.store import clip_table

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "collect", "fetch", "finish", "load", "media_key", "stamp"]

EXTRA = pa.schema(  # the columns of the clip table that only this source has
    [
        pa.field("video_id", pa.string()),
        pa.field("audioset", pa.list_(pa.string())),  # all its labels, by AudioSet's names
    ]
)


def clips(data: "DataParams") -> Clips:
    """Return the clips, in the order of the lists.

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
    rows = select_rows(_merge_duplicates(rows), selection.per_class, selection.clips, selection.seed)
    if not rows:
        raise UserError(
            f"data.audioset: none of {n_segments} segments has one of the {len(classes.selected)} selected"
            " classes: check data.audioset.classes and the lists"
        )
    return Clips(clip_table.from_rows(rows, EXTRA), _describe(rows, classes))


def _make_row(segment: lists.Segment, split: str | None, labels: list[str], classes: lists.Classes) -> dict:
    """Return the row of the clip table for a segment. labels: its selected classes. classes: all of them."""
    url = media.segment_url(segment.video, segment.start, segment.end)
    return {
        "clip_id": f"{media.safe_name(segment.video)}_{segment.start:g}",
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


def _describe(rows: list[dict], classes: lists.Classes) -> list[str]:
    """Return a line for invalid video ids and one for classes without a clip, if there are any."""
    lines = []
    if n_invalid := sum(row["video"] is None for row in rows):
        lines.append(f"{n_invalid} segments have an invalid video id: the stage download will refuse them")
    labels_with_clips = {label for row in rows for label in row["labels"]}
    if unused := [name for name in classes.selected if name not in labels_with_clips]:
        lines.append(f"{len(unused)} of the classes have no clip: {first_names(unused, 5)}")
    return lines
