"""The step of the stage `download`: from a clip's addresses to its media."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.store.formats import Files, Layout
from pipeline.store.status import OK, Outcome, failed

# size and modified (ns) tell a changed file from the one that was read before.
LAYOUT = Layout(
    Path("data/media"), Files(("audio", "video")), (("size", pa.int64()), ("modified", pa.int64()))
)


@dataclass(frozen=True)
class DownloadStep:
    """Has the source fetch or render each clip, or check its files where they lie.

    fetch: the source's. data: the section of params.yaml. A value is what a media shard holds: `audio` and
    `video`, each `{"bytes", "path"}`, with null bytes for a file that is read where it lies or that the other
    one holds.
    """

    fetch: Callable[[dict, Any], Outcome]
    data: Any

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        for clip in clips:
            yield self.fetch(clip, self.data)


def in_place(clip: dict, stamps: dict[str, tuple[str, str, int | None, int | None]]) -> Outcome:
    """The outcome for files that stay where they are.

    stamps: path -> (status, detail, size in bytes, time of change in ns). One bad file of two is enough.
    """
    for status, detail, *_ in stamps.values():
        if status != OK:
            return failed(status, detail)
    value = {kind: {"bytes": None, "path": clip[kind]} if clip[kind] else None for kind in ("audio", "video")}
    size = sum(s[2] or 0 for s in stamps.values())
    modified = max((s[3] or 0 for s in stamps.values()), default=0)
    return Outcome(value=value, extra={"size": size, "modified": modified})


def fetched(name: str, content: bytes) -> Outcome:
    """The outcome for one file that holds both sound and picture."""
    value = {"audio": {"bytes": None, "path": name}, "video": {"bytes": content, "path": name}}
    return Outcome(value=value, extra={"size": len(content), "modified": None})
