"""Ids of the clips of a folder."""

import hashlib
import re
import unicodedata

from pipeline.sources.folder.extensions import BOTH, split_extension
from pipeline.store import clip_table

_HASH_SUFFIX = re.compile(r"-[0-9a-f]{12}$")  # a stem that looks like an id with a hash gets a hash itself


def clip_id(path: str, start: float | None = None, end: float | None = None) -> str:
    """Return the id of a clip of a file. It is readable, safe as a file name, and unique in the folder.

    path: of the file, relative to the folder, with forward slashes. start, end: of the clip, s; None: the
    file's beginning or end. The id depends on nothing else. For a whole video at the top of the folder it is
    the file's name without extension, if that is safe. Otherwise it consists of the readable part of the
    path, start and end, and 48 bits of a hash of all three.
    """
    stem, extension = split_extension(path)
    if not start and end is None:  # the whole file
        is_safe = extension in BOTH and len(stem) <= 100 and clip_table.CLIP_ID.fullmatch(stem)
        return stem if is_safe and not _HASH_SUFFIX.search(stem) else _id_with_hash(path, path)
    start = float(start or 0)
    end = None if end is None else float(end)
    end_text = "" if end is None else f"{end:g}"
    interval = f"_{start:g}-{end_text}".replace("+", "")  # :g writes 1e+06 for large numbers
    return _id_with_hash(path, f"{path}\0{start!r}\0{end!r}", interval)


def slug(text: str) -> str:
    """Return `text` made safe for an id: without accents, other characters as _, folders joined by -.

    Only the last 80 characters are used.
    """
    text = unicodedata.normalize("NFKD", text.replace("/", "-"))  # an accent becomes its own character
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"[^A-Za-z0-9.\-]+", "_", text)[-80:]
    return text.strip("._-") or "clip"


def add_ids(entries: list[dict]) -> None:
    """Set `clip_id` in every entry that has none, and mark these entries by `has_generated_id`: True.

    entries: dictionaries with `path`, and perhaps `clip_id`, `start` and `end` (s), or times of sound and
    picture in their place. An id depends on other files in one case only: if x.mp4 and x.mkv are in the same
    folder, both ids get a hash.
    """
    entries_without_id = [entry for entry in entries if not entry.get("clip_id")]
    paths_by_id: dict[str, set[str]] = {}
    for entry in entries_without_id:
        entry["has_generated_id"] = True
        side_times = [entry.get(name) for name in clip_table.SIDE_TIMES]
        if any(time is not None for time in side_times):
            entry["clip_id"] = _id_with_hash(entry["path"], f"{entry['path']}\0{side_times!r}")
        else:
            entry["clip_id"] = clip_id(entry["path"], entry.get("start"), entry.get("end"))
        paths_by_id.setdefault(entry["clip_id"], set()).add(entry["path"])
    for entry in entries_without_id:
        if len(paths_by_id[entry["clip_id"]]) > 1:
            entry["clip_id"] = _id_with_hash(entry["path"], entry["path"])


def _id_with_hash(path: str, hash_input: str, interval: str = "") -> str:
    """Return `<readable part of the path><interval>-<12 hexadecimal digits of a hash of hash_input>`."""
    digest = hashlib.sha256(hash_input.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slug(split_extension(path)[0])}{interval}-{digest}"
