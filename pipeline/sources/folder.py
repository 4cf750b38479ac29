"""The source `folder`: a user's own videos, sounds and pictures, read where they lie.

Either `clips.csv` in the folder says what the clips are (`pipeline/sources/clips_csv.py`), or the folders do:
`<label>/<file>`, where the first level is the label and deeper levels are free, or files without a label.

Links to files are followed wherever they lead: whoever owns the folder put them there. Links to folders
are followed too, save to one that holds the data folder or lies inside it, and each real folder once,
so that no link makes the scan endless or counts a clip twice.
"""

import hashlib
import os
import re
import stat
import unicodedata
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download.step import in_place
from pipeline.errors import UserError
from pipeline.sources import clips_csv
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # sources are part of keys, the reader of params.yaml is not
    from pipeline.config import DataParams

# What a file is, by its extension. A container that can hold either is taken for both: decoding finds out.
# fmt: off
BOTH = frozenset({
    "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "m2ts", "m2v", "m4v", "mkv", "mov",
    "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "ogg", "ogm", "ogv", "ts", "vob", "webm", "wmv",
})
SOUND = frozenset({
    "aac", "ac3", "aif", "aifc", "aiff", "amr", "au", "caf", "eac3", "flac", "m4a", "mka", "mp2",
    "mp3", "oga", "opus", "w64", "wav", "wave", "wma",
})
PICTURE = frozenset({
    "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp",
})
# fmt: on
MEDIA = BOTH | SOUND | PICTURE
CSV = "clips.csv"
EXTRA = pa.schema([pa.field("video_id", pa.string())])  # the path within the folder: clips are split by it


def clips(data: "DataParams") -> pa.Table:
    """The clip table of `data.folder`: in the order of its clips.csv, else by relative path (byte order).

    Paths in it are `data.folder` joined with the relative path: as relative as the user wrote them, so that
    the table is the same on every machine.
    Raises UserError where there is no folder, no media in it, or anything wrong in its clips.csv.
    """
    root = located(data.folder)
    where = os.path.join(root, CSV)
    if os.path.lexists(where):
        entries, problems = clips_csv.read(root, CSV)
        give_ids(entries)
        clips_csv.fail(where, problems + clips_csv.twice(entries) + clips_csv.torn(entries))
    else:
        found = scan(root)
        if not found.media:
            others = f" (other files: {found.others})" if found.others else ""
            raise UserError(
                f"{root}: no video, sound or picture files in this folder{others}:"
                " put some there, or point data.folder at a folder that has some"
            )
        entries = [{"path": p, "labels": [p.split("/", 1)[0]] if "/" in p else []} for p in found.media]
        give_ids(entries)
    return clip_table.from_rows([_row(root, e) for e in entries], EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """One line for each kind of thing in the folder that became no clip of `table`; empty if all did."""
    root = located(data.folder)
    found = scan(root)
    listed = {p for c in ("audio", "video") for p in table[c].to_pylist()}
    unlisted = [p for p in found.media if join(root, p) not in listed]
    lines = []
    if found.others:
        kinds = ", ".join(f"{n} {k or 'without extension'}" for k, n in found.kinds.most_common(5))
        lines.append(f"{_count(found.others, 'file')} not media by extension, left alone: {kinds}")
    for paths, what, why in [
        (unlisted, "media file", f"not in {CSV}, left out"),
        (found.bad_names, "media file", "left out: the name is not UTF-8"),
        (found.unreadable, "folder", "left out: it cannot be read"),
        (found.loops, "folder", "not followed: a link to one that is read already or holds this one"),
    ]:
        if paths:
            names = ", ".join(map(clips_csv.show, paths[:3])) + (", …" if len(paths) > 3 else "")
            lines.append(f"{_count(len(paths), what)} {why}: {names}")
    return lines


def check(path: str) -> tuple[str, str, int | None, int | None]:
    """(status, detail, size in bytes, time of change in ns) of one file, without decoding any of it.

    `unreadable`: no file, no regular file, or not readable (size and time are then None); `corrupt`: empty.
    """
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # asked before opening: opening a pipe would wait forever
            what = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe or device"
            return "unreadable", f"{what} where a file should be", None, None
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except FileNotFoundError:
        gone = "a link to a file that is not there" if os.path.islink(path) else "no such file"
        return "unreadable", gone, None, None
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        return "unreadable", (getattr(e, "strerror", None) or str(e)).lower(), None, None
    if not info.st_size:
        return "corrupt", "the file is empty", info.st_size, info.st_mtime_ns
    return "ok", "", info.st_size, info.st_mtime_ns


def stamp(clip: dict) -> list:
    """What tells that a clip's files changed though its row did not: status, size and time of each."""
    return [check(path) for path in _files(clip)]


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """The clip's files, checked and left where they lie."""
    return in_place(clip, {path: check(path) for path in _files(clip)})


def _files(clip: dict) -> list[str]:
    return sorted({clip[kind] for kind in ("audio", "video") if clip[kind]})


# ---- ids


def clip_id(path: str, start: float | None = None, end: float | None = None) -> str:
    """An id for a clip of the file `path` (relative, with forward slashes): readable, safe, always the same.

    A whole video at the top of the folder whose stem is safe already is called by that stem. All others
    get what is readable of the path, the cut, and 48 bits of a hash of both, so that no two share an id.
    """
    name, ext = _split_ext(path)
    if not start and end is None:  # from 0 to the end: the whole file
        plain = ext in BOTH and len(name) <= 100 and clip_table.CLIP_ID.fullmatch(name)
        return name if plain and not _HASHED.search(name) else _hashed(path, path)
    begin, until = float(start or 0), None if end is None else float(end)
    cut = f"_{begin:g}-{'' if until is None else format(until, 'g')}".replace("+", "")
    return _hashed(path, f"{path}\0{begin!r}\0{until!r}", cut)


_HASHED = re.compile(r"-[0-9a-f]{12}$")  # a stem that looks like an id with a hash gets a hash itself


def slug(text: str) -> str:
    """What of `text` can stand in an id: accents dropped, other characters as _, folders joined by -."""
    text = unicodedata.normalize("NFKD", text.replace("/", "-"))
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"[^A-Za-z0-9.\-]+", "_", text)[-80:]
    return text.strip("._-") or "clip"


def give_ids(entries: list[dict]) -> None:
    """Give every entry without a `clip_id` one, and mark it as `made`.

    Only where x.mp4 and x.mkv lie side by side do both carry a hash, each because of the other.
    """
    made = [e for e in entries if not e.get("clip_id")]
    paths: dict[str, set[str]] = {}
    for e in made:
        e["made"] = True
        e["clip_id"] = clip_id(e["path"], e.get("start"), e.get("end"))
        paths.setdefault(e["clip_id"], set()).add(e["path"])
    for e in made:
        if len(paths[e["clip_id"]]) > 1:
            e["clip_id"] = _hashed(e["path"], e["path"])


def _hashed(path: str, key: str, cut: str = "") -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slug(_split_ext(path)[0])}{cut}-{digest}"


# ---- the folder


@dataclass
class Scan:
    """What lies in a folder: relative paths with forward slashes, sorted."""

    media: list[str] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)  # how many files of each extension are not media
    bad_names: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)

    @property
    def others(self) -> int:
        return sum(self.kinds.values())


def scan(root: str) -> Scan:
    """Walk `root`. Hidden files and folders are passed over; no file is opened, and only links are stat'ed.

    A folder whose name has a media extension and that holds no media is listed as the file that it is
    taken for: it becomes a row with a reason. So does a link to nothing.
    """
    found = Scan()
    top = os.path.realpath(root)
    linked: list[tuple[str, str]] = []  # links to folders: (relative path, real path)
    odd: list[str] = []  # folders that are called like media
    seen: set[tuple[int, int]] = set()  # real folders read

    def walk(start: str) -> None:
        stack = [start]
        while stack:
            here = stack.pop()
            full = os.path.join(root, here) if here else root
            try:
                info = os.stat(full)
                if info.st_ino and (info.st_dev, info.st_ino) in seen:
                    found.loops.append(here)
                    continue
                seen.add((info.st_dev, info.st_ino))
                with os.scandir(full) as it:
                    listing = list(it)
            except OSError as e:
                if not here:
                    raise UserError(f"{root}: cannot read this folder: {e.strerror}") from None
                found.unreadable.append(here)
                continue
            for entry in listing:
                if entry.name.startswith("."):
                    continue
                path = f"{here}/{entry.name}" if here else entry.name
                is_link = entry.is_symlink()
                media = _split_ext(entry.name)[1] in MEDIA
                if _is_dir(entry):
                    if is_link:
                        linked.append((path, os.path.realpath(entry.path)))
                    else:
                        stack.append(path)
                    if media:
                        odd.append(path)
                elif path == CSV:
                    continue
                elif not media:
                    found.kinds[_kind(entry.name)] += 1
                elif _utf8(path):
                    found.media.append(path)
                else:
                    found.bad_names.append(path)

    walk("")
    # Links last, and in order, so that a real folder inside is never read under a link's name.
    while linked:
        linked.sort()
        path, real = linked.pop(0)
        if _inside(real, top) or _inside(top, real):
            found.loops.append(path)
        else:
            walk(path)

    found.media.sort()
    files = list(found.media)
    for path in odd:
        at = bisect_left(files, path + "/")
        if (at == len(files) or not files[at].startswith(path + "/")) and _utf8(path):
            found.media.append(path)
    for paths in (found.media, found.bad_names, found.unreadable, found.loops):
        paths.sort()  # by code point, which for UTF-8 is by byte: the same under every locale
    return found


def located(folder: str) -> str:
    """`folder` as paths in the table begin: `~` expanded, never made absolute, nothing else expanded."""
    if not folder.strip():
        raise UserError("data.folder is empty: give it the path of a folder with videos")
    root = os.path.expanduser(folder)
    root = root.rstrip("/") or "/"
    first = root.split("/", 1)[0]
    if first.startswith("-") or ":" in first:  # never an option, never a protocol
        root = "./" + root
    if os.path.isdir(root):
        return root
    if os.path.lexists(root):
        raise UserError(f"{root}: not a folder: data.folder must be a folder of videos, not one file")
    raise UserError(
        f"{root}: no such folder: make it and put videos there, or set data.folder to one that is"
    )


def _row(root: str, entry: dict) -> dict:
    path = join(root, entry["path"])
    ext = _split_ext(entry["path"])[1]
    row = {name: entry.get(name) for name in clip_table.SCHEMA.names}
    row["labels"] = entry.get("labels") or []
    row["video_id"] = entry["path"]
    row["audio"] = None if ext in PICTURE else path
    row["video"] = None if ext in SOUND else path  # any other extension can only come from a clips.csv: both
    return row


def join(root: str, path: str) -> str:
    return os.path.join(root, path).replace(os.sep, "/")


def _split_ext(path: str) -> tuple[str, str]:
    """("a/b", "mp4") of "a/b.MP4"."""
    name, ext = os.path.splitext(path)
    return name, ext[1:].lower()


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look: a row with a reason
        return False


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(name: str) -> str:
    ext = os.path.splitext(name)[1].lower()
    return ext if ext.isprintable() else "of odd names"


def _count(n: int, what: str) -> str:
    return f"1 {what} is" if n == 1 else f"{n} {what}s are"
