"""Where the media of the clips of a published list are.

`data.media` selects the place. `youtube`: a clip is a segment of a video, which is downloaded; its URL has
the segment as a media fragment (W3C, #t=30,40), and its file holds the segment alone. `folder`: a copy of the
data set, whose files are below `data.folder` at any depth and named after the clip. `archives`: the same in
tars, `data.archives`.

The function `clips` of a source ends with `make_clips`; its other functions are those of `in_place` and
`downloads`.
"""

import hashlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pipeline.sources import Clips, archive, folder
from pipeline.sources.folder.extensions import PICTURE, SOUND, split_extension
from pipeline.store import clip_table

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

URL = "https://www.youtube.com/watch?v="  # identifies a clip; the download uses download.url
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Place(NamedTuple):
    """Where a clip is: on YouTube, and in a copy of the data set. Times are in seconds."""

    segment: tuple[float, float] | None  # start and end in YouTube's video; None: unknown
    file: str  # name of the file in a copy or an archive, without folders and extension
    part: tuple[float, float] | None = None  # start and end in that file; None: the whole file


def safe_name(video: str) -> str:
    """Return a YouTube id as the beginning of a clip id: safe as a file name, and not read as an option."""
    if not VIDEO_ID.fullmatch(video):
        return f"line_{hashlib.sha256(video.encode()).hexdigest()[:11]}"
    return f"_{video}" if video.startswith("-") else video


def segment_url(video: str, start: float, end: float) -> str | None:
    """Return the URL of a segment (s) of a video; None if the id of the video is invalid."""
    return f"{URL}{video}#t={start:g},{end:g}" if VIDEO_ID.fullmatch(video) else None


def make_clips(rows: list[dict], lines: list[str], data: "DataParams", extra: pa.Schema) -> Clips:
    """Return the clips with these rows and their media; and `lines`, followed by those about the media.

    rows: of the clip table without `audio`, `video`, `start` and `end`, with `video_id`, and a Place or None
    under the key `place`. A row with an invalid id, without a place or, for YouTube, with an unknown segment
    gets no media: it fails with a reason in the stage `download`. So does a row without a file in the copy,
    whose media are a file that should be in data.folder. extra: the columns that only this source has. Raises
    UserError if the folder or an archive cannot be read.
    """
    files = {} if data.media == "youtube" else _find_files(data)
    for row in rows:
        row |= _locate(row, files, data)
    return Clips(clip_table.from_rows(rows, extra), [*lines, *_describe(rows, files, data)])


def _locate(row: dict, files: dict[str, dict[str, str]], data: "DataParams") -> dict:
    """Return the values of `audio`, `video`, `start` and `end` of a row that has a Place or None.

    files: name -> the columns `audio` and `video`, as `_find_files` returns them. A value may be missing.
    """
    place = row["place"]
    if place is None:
        return {}
    if data.media == "youtube":
        url = segment_url(row["video_id"], *place.segment) if place.segment else None
        return {"audio": url, "video": url}
    if not VIDEO_ID.fullmatch(row["video_id"]):
        return {}
    start, end = place.part or (None, None)
    missing = folder.join(folder.resolve(data.folder), f"{place.file}.mp4")
    columns = files.get(place.file) or {"audio": missing, "video": missing}
    return {**columns, "start": start, "end": end}


def _find_files(data: "DataParams") -> dict[str, dict[str, str]]:
    """Return name of a file without folders and extension -> the columns `audio` and `video`.

    If a folder has several files of a name, the first with both sound and picture counts, by path; without
    one, the first sound and the first picture. In archives, the last one counts.
    """
    if data.media == "archives":
        members = archive.find_members(archive.list_archives(data))
        return {name: dict.fromkeys(_columns(member), member) for name, member in members.items()}
    root = folder.resolve(data.folder)
    paths = folder.scan(root).media
    files: dict[str, dict[str, str]] = {}
    for path in sorted(paths, key=lambda path: len(_columns(path)), reverse=True):
        stem, _ = split_extension(os.path.basename(path))
        for column in _columns(path):
            files.setdefault(stem, {}).setdefault(column, folder.join(root, path))
    return files


def _columns(path: str) -> tuple[str, ...]:
    """Return the columns of the clip table that a media file is for. path: ends with its extension."""
    extension = split_extension(path)[1]
    if extension in SOUND:
        return ("audio",)
    return ("video",) if extension in PICTURE else ("audio", "video")


def _describe(rows: list[dict], files: dict[str, dict[str, str]], data: "DataParams") -> list[str]:
    """Return a line for each kind of clip without media, and of media files without a clip."""
    locations = [{row[side] for side in ("audio", "video") if row.get(side)} for row in rows]
    lines = []
    if n := locations.count(set()):
        lines.append(
            f"{n} of {len(rows)} clips have an invalid id, or an unknown place: the stage download refuses"
            " them"
        )
    if data.media == "youtube":
        return lines
    paths = {path for columns in files.values() for path in columns.values()}
    listed = {path for places in locations for path in places}
    if missing := listed - paths:
        n_clips = sum(not places.isdisjoint(missing) for places in locations)
        share = f"{n_clips} of {len(rows)} clips ({n_clips / len(rows):.1%})"
        where = "the archives" if data.media == "archives" else data.folder
        lines.append(f"{share} have no file in {where}, such as {os.path.basename(min(missing))}")
    if unlisted := paths - listed:
        lines.append(f"{len(unlisted)} media files belong to no clip, left out: {min(unlisted)}, …")
    return lines
