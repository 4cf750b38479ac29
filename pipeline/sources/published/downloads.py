"""The functions of a source whose clips may be segments of YouTube's videos, which are downloaded."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download import queue
from pipeline.sources.folder.in_place import stamp as stamp_files
from pipeline.sources.published import in_place, media
from pipeline.store.formats import digest
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams, Params


def media_key(clips: list[dict], params: "Params") -> str | None:
    """Return a hash of the parameters that downloaded media depend on; None if no clip is downloaded.

    It does not cover the code: otherwise, every change of the code would download everything again. The text
    in it is that of the first source with downloads: another one would download its clips again.
    """
    return digest("audioset", params.download.height) if any(map(_is_online, clips)) else None


def stamp(clip: dict) -> int | list | None:
    """Return a value that changes if the clip must be processed again although its row is the same.

    For a download: how often the user asked for another try (python -m app.failures --retry), or None for
    never. For files: their status, size and modification time.
    """
    if _is_online(clip):
        return queue.open_log().count_retry_requests(clip["clip_id"]) or None
    return stamp_files(clip)


def collect(clips: list[dict], params: "Params") -> None:
    """Download the clips that were not downloaded yet. clips: rows of the clip table."""
    queue.download_clips(clips, params.download)


def load(clip: dict, data: "DataParams") -> Outcome:
    """Return the outcome of a clip's download: its file as the value, or the failure."""
    return queue.load_outcome(clip) if _is_online(clip) else in_place.fetch(clip, data)


def finish(table: pa.Table, params: "Params") -> None:
    """Delete the downloaded files that shards hold now. table: the index of the stage `download`.

    Raises UserError if too many clips are missing for temporary reasons.
    """
    queue.delete_stored_files(table)
    queue.check_missing(table, params.download)


def _is_online(clip: dict) -> bool:
    """Return whether a clip is downloaded. clip: a row of the clip table."""
    return (clip["video"] or "").startswith(media.URL)
