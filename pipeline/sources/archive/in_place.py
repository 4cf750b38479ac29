"""The function `fetch` of the source `archive`.

It is apart from what lists archives, so that the keys of clips do not depend on that code.
"""

from typing import TYPE_CHECKING

from pipeline.sources.folder.in_place import fetch as fetch_files
from pipeline.store.status import Outcome, failed

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check that the clip's members are there. They stay in place. clip: a row of the clip table."""
    if clip["problem"]:
        status, _, detail = clip["problem"].partition(": ")
        return failed(status, detail)
    return fetch_files(clip, data)
