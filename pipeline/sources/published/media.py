"""Where the media of the clips of a published list are.

`data.media` selects the place. `youtube`: a clip is a segment of a video, which is downloaded; its URL has
the segment as a media fragment (W3C, #t=30,40), and its file holds the segment alone. `folder`: a copy of the
data set, whose files are below `data.folder` at any depth and named after the clip. `archives`: the same in
tars, `data.archives`.

A source calls `add_media` for its rows and `notes` for its notes, and has the functions of `in_place` and
`downloads` as its own.
"""

import hashlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pipeline.sources import archive, folder
from pipeline.sources.folder.extensions import PICTURE, SOUND, split_extension

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


def add_media(rows: list[dict], data: "DataParams") -> None:
    """Set `audio`, `video`, `start` and `end` of rows of the clip table.

    rows: with `video_id`, and a Place or None under the key `place`. A row with an invalid id, without a
    place or, for YouTube, with an unknown segment gets no media: it fails with a reason in the stage
    `download`. So does a row without a file in the copy, whose media are a file that should be in
    data.folder. Raises UserError if the folder or an archive cannot be read.
    """
    files = {} if data.media == "youtube" else _find_files(data)
    for row in rows:
        place = row["place"]
        if place is None:
            continue
        if data.media == "youtube":
            url = segment_url(row["video_id"], *place.segment) if place.segment else None
            row |= {"audio": url, "video": url}
        elif VIDEO_ID.fullmatch(row["video_id"]):
            missing = folder.join(folder.resolve(data.folder), f"{place.file}.mp4")
            row |= files.get(place.file) or {"audio": missing, "video": missing}
            row["start"], row["end"] = place.part or (None, None)


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


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return a line for each kind of clip without media, and of media files without a clip."""
    has_no_media = [a is None and v is None for a, v in zip(*_locations(table), strict=True)]
    lines = []
    if n := sum(has_no_media):
        lines.append(
            f"{n} of {len(table)} clips have an invalid id, or an unknown place: the stage download refuses"
            " them"
        )
    if data.media == "youtube":
        return lines
    paths = {path for columns in _find_files(data).values() for path in columns.values()}
    listed = {path for column in _locations(table) for path in column if path}
    if missing := listed - paths:
        n_clips = sum(bool({a, v} & missing) for a, v in zip(*_locations(table), strict=True))
        share = f"{n_clips} of {len(table)} clips ({n_clips / len(table):.1%})"
        where = "the archives" if data.media == "archives" else data.folder
        lines.append(f"{share} have no file in {where}, such as {os.path.basename(min(missing))}")
    if unlisted := paths - listed:
        lines.append(f"{len(unlisted)} media files belong to no clip, left out: {min(unlisted)}, …")
    return lines


def _locations(table: pa.Table) -> tuple[list[str | None], list[str | None]]:
    """Return the columns `audio` and `video` of a clip table."""
    return table["audio"].to_pylist(), table["video"].to_pylist()
