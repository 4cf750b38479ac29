"""A clip of an archive before it is a row of the clip table."""

import os
from collections import Counter
from dataclasses import dataclass, field

from pipeline.sources.archive.facts import Facts
from pipeline.sources.folder.ids import add_ids
from pipeline.store import clip_table


@dataclass
class Entry:
    """A clip of an archive.

    key: its name in the archive, with folders, without extension. audio, video: locations; None: it has no
    sound, or no picture. problem: "<status>: <reason>" if its media cannot be read, else empty.
    """

    archive: str
    key: str
    audio: str | None = None
    video: str | None = None
    problem: str = ""
    facts: Facts = field(default_factory=Facts)


MAX_ID = 100  # characters of a key that is an id as it is


def make_ids(entries: list[Entry]) -> list[str]:
    """Return an id for each entry: the last part of its key if that is unique, else the key, else a hash.

    An id among its facts counts as the last part of the key. An id depends on other clips only where they
    share a name.
    """
    parent = os.path.dirname(os.path.commonprefix(sorted({entry.archive for entry in entries})))
    names = []
    for entry in entries:
        short_name = entry.facts.clip_id or entry.key.rpartition("/")[2]
        names.append([short_name, entry.key, f"{entry.archive.removeprefix(parent)}/{entry.key}"])
    counts = [Counter(column) for column in zip(*names, strict=True)]
    rows: list[dict] = []
    for options in names:
        unique = (name for name, count in zip(options, counts, strict=True) if count[name] == 1)
        name = next(unique, options[-1])
        if len(name) <= MAX_ID and clip_table.CLIP_ID.fullmatch(name):
            rows.append({"clip_id": name})
        else:
            rows.append({"path": f"{name}.mp4"})  # the id is that of a video of this name
    add_ids(rows)
    return [row["clip_id"] for row in rows]


def splits_by_name(archives: list[str]) -> dict[str, str]:
    """Return the splits that the names of archives begin with (`train-00.tar`), if there are two or more."""
    splits = {}
    for archive in archives:
        name = os.path.basename(archive).lower()
        for prefix, split in (("train", "train"), ("validation", "val"), ("val", "val"), ("test", "test")):
            if name.startswith(prefix) and not name.removeprefix(prefix)[:1].isalpha():
                splits[archive] = split
    return splits if len(set(splits.values())) > 1 else {}
