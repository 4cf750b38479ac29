"""The function `fetch` of a source whose clips may be files in place.

It is apart from what lists and downloads them, so that the keys of clips do not depend on that code.
"""

from typing import TYPE_CHECKING

from pipeline.sources.folder.in_place import fetch as fetch_files
from pipeline.store.status import Outcome, failed

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check the files of a clip, which stay in place; a clip without media is refused."""
    if clip["audio"] is None and clip["video"] is None:
        return failed("refused", f"no media: {clip['video_id']!r} is an invalid id, or its place is unknown")
    return fetch_files(clip, data)
