"""Ids of the clips of a folder."""

import hashlib
import re
import unicodedata

from pipeline.sources.folder.extensions import BOTH, split_extension
from pipeline.store import clip_table


def clip_id(path: str, start: float | None = None, end: float | None = None) -> str:
    """Return the id of a clip of the file `path` (relative, with forward slashes), from `start` to `end` (s).

    The id is readable, safe as a file name, and depends on nothing else. For a whole video at the top of the
    folder it is the file's stem, if that is safe. Otherwise it consists of the readable part of the path, the
    cut, and 48 bits of a hash of both, so that no two clips share an id.
    """
    stem, ext = split_extension(path)
    if not start and end is None:  # from 0 to the end: the whole file
        is_safe = ext in BOTH and len(stem) <= 100 and clip_table.CLIP_ID.fullmatch(stem)
        return stem if is_safe and not _HASH_SUFFIX.search(stem) else _hash_id(path, path)
    begin, until = float(start or 0), None if end is None else float(end)
    cut = f"_{begin:g}-{'' if until is None else format(until, 'g')}".replace("+", "")
    return _hash_id(path, f"{path}\0{begin!r}\0{until!r}", cut)


_HASH_SUFFIX = re.compile(r"-[0-9a-f]{12}$")  # a stem that looks like an id with a hash gets a hash itself


def slug(text: str) -> str:
    """Return `text` made safe for an id: without accents, other characters as _, folders joined by -."""
    text = unicodedata.normalize("NFKD", text.replace("/", "-"))
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"[^A-Za-z0-9.\-]+", "_", text)[-80:]
    return text.strip("._-") or "clip"


def add_ids(entries: list[dict]) -> None:
    """Set the `clip_id` of every entry that has none, and its `has_generated_id`.

    An id depends on other files in one case only: if x.mp4 and x.mkv are in the same folder, both get a hash.
    """
    generated = [e for e in entries if not e.get("clip_id")]
    paths: dict[str, set[str]] = {}  # clip_id -> paths
    for e in generated:
        e["has_generated_id"] = True
        e["clip_id"] = clip_id(e["path"], e.get("start"), e.get("end"))
        paths.setdefault(e["clip_id"], set()).add(e["path"])
    for e in generated:
        if len(paths[e["clip_id"]]) > 1:
            e["clip_id"] = _hash_id(e["path"], e["path"])


def _hash_id(path: str, key: str, cut: str = "") -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slug(split_extension(path)[0])}{cut}-{digest}"
