"""The step of the stage `download`: from a row of the clip table to its media."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.store.formats import Files, Layout
from pipeline.store.status import OK, Outcome, failed

# size (bytes) and modified (ns since the epoch) of a file in place: later stages notice that it changed.
LAYOUT = Layout(
    Path("data/media"), Files(("audio", "video")), (("size", pa.int64()), ("modified", pa.int64()))
)


class FileCheck(NamedTuple):
    """The state of a file that stays in place."""

    status: str  # `ok`, or why the file cannot be used
    detail: str  # for the user; empty if the status is `ok`
    size: int | None  # bytes; None if the file cannot be read
    modified: int | None  # ns since the epoch; None if the file cannot be read


@dataclass(frozen=True)
class DownloadStep:
    """The step of the stage `download`: from a row of the clip table to the clip's media.

    fetch: the source's function, from a row and `data` to an outcome. It downloads or renders the media, or
    checks files in place. data: the section `data` of params.yaml.

    The value of an outcome is a dictionary of `audio` and `video`, each `{"bytes": ..., "path": ...}`. The
    bytes are None if the file stays in place. If one file is both, only `video` has its bytes.
    """

    fetch: Callable[[dict, Any], Outcome]
    data: Any

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: not used."""
        for clip in clips:
            yield self.fetch(clip, self.data)


def in_place_outcome(clip: dict, checks: dict[str, FileCheck]) -> Outcome:
    """Return the outcome of a clip whose files stay in place. If one of two files is bad, the clip fails.

    clip: a row of the clip table. checks: path -> state, of the files of the clip.
    """
    for check in checks.values():
        if check.status != OK:
            return failed(check.status, check.detail)
    value = {}
    for column in ("audio", "video"):
        value[column] = {"bytes": None, "path": clip[column]} if clip[column] else None
    # 0: of values in Parquet files, whose sizes are not known before they are read.
    total_size = sum(check.size or 0 for check in checks.values())
    last_modified = max((check.modified or 0 for check in checks.values()), default=0)
    return Outcome(value=value, extra={"size": total_size or None, "modified": last_modified})


def single_file_outcome(name: str, content: bytes) -> Outcome:
    """Return the outcome of a clip that is one file with both sound and picture.

    name: of the file. content: its bytes, which are stored once, in `video`.
    """
    value = {"audio": {"bytes": None, "path": name}, "video": {"bytes": content, "path": name}}
    return Outcome(value=value, extra={"size": len(content), "modified": None})
