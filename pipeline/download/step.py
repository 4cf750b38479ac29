"""The step of the stage `download`: from a row of the clip table to its media."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.store.formats import Files, Layout
from pipeline.store.status import OK, Outcome, failed

# size (bytes) and modified (ns since the epoch) of a file in place: later stages notice that it changed.
LAYOUT = Layout(
    Path("data/media"), Files(("audio", "video")), (("size", pa.int64()), ("modified", pa.int64()))
)


@dataclass(frozen=True)
class DownloadStep:
    """Call the source's `fetch` for each clip: it downloads or renders the media, or checks files in place.

    fetch: of the source. data: the section `data` of params.yaml. A value is what a media shard holds:
    `audio` and `video`, each `{"bytes", "path"}`. The bytes are null if the file stays in place, and if the
    other one of the two holds them.
    """

    fetch: Callable[[dict, Any], Outcome]
    data: Any

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        for clip in clips:
            yield self.fetch(clip, self.data)


def in_place_outcome(clip: dict, checks: dict[str, tuple[str, str, int | None, int | None]]) -> Outcome:
    """Return the outcome for files that stay in place. If one of two is bad, the clip fails.

    checks: path -> (status, detail, size in bytes, modification time in ns).
    """
    for status, detail, *_ in checks.values():
        if status != OK:
            return failed(status, detail)
    value = {kind: {"bytes": None, "path": clip[kind]} if clip[kind] else None for kind in ("audio", "video")}
    total_size = sum(size or 0 for _, _, size, _ in checks.values())
    modified = max((time or 0 for _, _, _, time in checks.values()), default=0)
    return Outcome(value=value, extra={"size": total_size, "modified": modified})


def single_file_outcome(name: str, content: bytes) -> Outcome:
    """Return the outcome for one file, by name and bytes, that holds both sound and picture."""
    value = {"audio": {"bytes": None, "path": name}, "video": {"bytes": content, "path": name}}
    return Outcome(value=value, extra={"size": len(content), "modified": None})
