"""The source `folder`: a user's own videos, sounds and pictures, read in place.

`clips.csv` in the folder lists the clips (`pipeline/sources/clips_csv.py`). Without it, every media file is a
clip: in `<label>/.../<file>`, the first folder is the label; a file at the top has no label.

Links to files are followed wherever they lead: the owner of the folder put them there. Links to folders are
followed too, except a link to a folder that contains the data folder or is inside it. Each real folder is
read once, so no link makes the scan endless or counts a clip twice.
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

from pipeline.download.step import in_place_outcome
from pipeline.errors import UserError
from pipeline.sources import clips_csv
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

# Kinds of media by file extension. A container that can hold sound and picture counts as both until it is
# decoded.
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
    """Return the clip table of `data.folder`: in the order of its clips.csv, else by relative path (bytes).

    A path in the table is `data.folder`, as the user wrote it, joined with the relative path: so the table is
    the same on every machine.
    Raises UserError if there is no folder or no media in it, and for any problem in its clips.csv.
    """
    root = resolve(data.folder)
    csv_path = os.path.join(root, CSV)
    if os.path.lexists(csv_path):
        entries, problems = clips_csv.read(root, CSV)
        add_ids(entries)
        problems += clips_csv.duplicates(entries) + clips_csv.split_conflicts(entries)
        clips_csv.raise_problems(csv_path, problems)
    else:
        files = scan(root)
        if not files.media:
            count = f" (other files: {files.non_media})" if files.non_media else ""
            raise UserError(
                f"{root}: no video, sound or picture files in this folder{count}:"
                " put some there, or set data.folder to a folder that has some"
            )
        entries = [{"path": p, "labels": [p.split("/", 1)[0]] if "/" in p else []} for p in files.media]
        add_ids(entries)
    return clip_table.from_rows([_row(root, e) for e in entries], EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return a line for each kind of file or folder that is not in `table`; no lines if all are."""
    root = resolve(data.folder)
    files = scan(root)
    table_paths = {p for c in ("audio", "video") for p in table[c].to_pylist()}
    unlisted = [p for p in files.media if join(root, p) not in table_paths]
    lines = []
    if files.non_media:
        kinds = ", ".join(f"{n} {k or 'without extension'}" for k, n in files.non_media_kinds.most_common(5))
        lines.append(f"{_count(files.non_media, 'file')} not media by extension, left out: {kinds}")
    for paths, noun, reason in [
        (unlisted, "media file", f"not in {CSV}, left out"),
        (files.bad_names, "media file", "left out: the name is not UTF-8"),
        (files.unreadable, "folder", "left out: it cannot be read"),
        (
            files.loops,
            "folder",
            "left out: a link to a folder that is read already or that contains this one",
        ),
    ]:
        if paths:
            names = ", ".join(map(clips_csv.show, paths[:3])) + (", …" if len(paths) > 3 else "")
            lines.append(f"{_count(len(paths), noun)} {reason}: {names}")
    return lines


def check(path: str) -> tuple[str, str, int | None, int | None]:
    """Return (status, detail, size in bytes, modification time in ns) of a file, without decoding it.

    The status is `ok`, `corrupt` for an empty file, or `unreadable` if there is no regular file or it cannot
    be opened (then size and time are None).
    """
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # before opening: opening a pipe would wait forever
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe or device"
            return "unreadable", f"{kind} where a file should be", None, None
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except FileNotFoundError:
        detail = "a link to a file that does not exist" if os.path.islink(path) else "no such file"
        return "unreadable", detail, None, None
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        return "unreadable", (getattr(e, "strerror", None) or str(e)).lower(), None, None
    if not info.st_size:
        return "corrupt", "the file is empty", info.st_size, info.st_mtime_ns
    return "ok", "", info.st_size, info.st_mtime_ns


def stamp(clip: dict) -> list:
    """Return status, size and modification time of each file: they change when a file does."""
    return [check(path) for path in _files(clip)]


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check the clip's files. They stay in place."""
    return in_place_outcome(clip, {path: check(path) for path in _files(clip)})


def _files(clip: dict) -> list[str]:
    return sorted({clip[kind] for kind in ("audio", "video") if clip[kind]})


# ---- ids


def clip_id(path: str, start: float | None = None, end: float | None = None) -> str:
    """Return the id of a clip of the file `path` (relative, with forward slashes), from `start` to `end` (s).

    The id is readable, safe as a file name, and depends on nothing else. For a whole video at the top of the
    folder it is the file's stem, if that is safe. Otherwise it consists of the readable part of the path, the
    cut, and 48 bits of a hash of both, so that no two clips share an id.
    """
    stem, ext = _split_ext(path)
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
    return f"{slug(_split_ext(path)[0])}{cut}-{digest}"


# ---- the folder


@dataclass
class Scan:
    """The contents of a folder: relative paths with forward slashes, sorted."""

    media: list[str] = field(default_factory=list)
    non_media_kinds: Counter = field(default_factory=Counter)  # extension -> number of files
    bad_names: list[str] = field(default_factory=list)  # media files whose names are not UTF-8
    unreadable: list[str] = field(default_factory=list)  # folders
    loops: list[str] = field(default_factory=list)  # links to folders that are not followed

    @property
    def non_media(self) -> int:
        """The number of files that are not media."""
        return sum(self.non_media_kinds.values())


def scan(root: str) -> Scan:
    """List the files below `root`. Hidden files and folders are skipped. No file is opened.

    A folder whose name has a media extension and that contains no media is listed as a media file, so that
    its row fails with a reason. So is a link to nothing. Raises UserError if `root` cannot be read.
    """
    walk = _Walk(root)
    walk.read_tree("")
    walk.follow_links()
    result = walk.result
    result.media.sort()
    files = list(result.media)
    for path in walk.folders_like_media:
        index = bisect_left(files, path + "/")
        has_media = index < len(files) and files[index].startswith(path + "/")
        if not has_media and _is_utf8(path):
            result.media.append(path)
    for paths in (result.media, result.bad_names, result.unreadable, result.loops):
        paths.sort()  # by code point, which for UTF-8 is by byte: the same under every locale
    return result


class _Walk:
    """Reads folders below `root` into `result`. Only folders and links are stat'ed, which keeps it fast."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.result = Scan()
        self.folder_links: list[tuple[str, str]] = []  # (relative path, real path), not followed yet
        self.folders_like_media: list[str] = []  # folders whose names have a media extension
        self.read_folders: set[tuple[int, int]] = set()  # (device, inode)

    def read_tree(self, start: str) -> None:
        """Read the folder `start` (relative) and all folders below it. Links to folders are only noted."""
        stack = [start]
        while stack:
            folder = stack.pop()
            for entry in self._entries(folder):
                if entry.name.startswith("."):
                    continue
                path = f"{folder}/{entry.name}" if folder else entry.name
                if _is_dir(entry):
                    if entry.is_symlink():
                        self.folder_links.append((path, os.path.realpath(entry.path)))
                    else:
                        stack.append(path)
                    if _has_media_extension(path):
                        self.folders_like_media.append(path)
                else:
                    self._add_file(path)

    def follow_links(self) -> None:
        """Read the folders that links lead to, and those that links in them lead to.

        Called after the real folders are read, so that none of them is read under a link's name. In order of
        the paths, so that the result does not depend on the file system.
        """
        top = os.path.realpath(self.root)
        while self.folder_links:
            self.folder_links.sort()
            path, real_path = self.folder_links.pop(0)
            if _is_inside(real_path, top) or _is_inside(top, real_path):
                self.result.loops.append(path)
            else:
                self.read_tree(path)

    def _entries(self, folder: str) -> list[os.DirEntry]:
        """List a folder that was not read before; one that was read, or cannot be, is noted in `result`."""
        full_path = os.path.join(self.root, folder) if folder else self.root
        try:
            info = os.stat(full_path)
            if info.st_ino and (info.st_dev, info.st_ino) in self.read_folders:
                self.result.loops.append(folder)
                return []
            self.read_folders.add((info.st_dev, info.st_ino))
            with os.scandir(full_path) as entries:
                return list(entries)
        except OSError as e:
            if not folder:
                raise UserError(f"{self.root}: cannot read this folder: {e.strerror}") from None
            self.result.unreadable.append(folder)
            return []

    def _add_file(self, path: str) -> None:
        if path == CSV:
            return
        if not _has_media_extension(path):
            self.result.non_media_kinds[_extension(path)] += 1
        elif _is_utf8(path):
            self.result.media.append(path)
        else:
            self.result.bad_names.append(path)


def resolve(folder: str) -> str:
    """Return `folder` as paths in the table begin: `~` expanded, nothing else, never made absolute.

    Raises UserError if there is no such folder.
    """
    if not folder.strip():
        raise UserError("data.folder is empty: set it to the path of a folder with videos")
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
        f"{root}: no such folder: make it and put videos there, or set data.folder to another one"
    )


def _row(root: str, entry: dict) -> dict:
    path = join(root, entry["path"])
    ext = _split_ext(entry["path"])[1]
    row = {name: entry.get(name) for name in clip_table.SCHEMA.names}
    row["labels"] = entry.get("labels") or []
    row["video_id"] = entry["path"]
    row["audio"] = None if ext in PICTURE else path
    row["video"] = (
        None if ext in SOUND else path
    )  # an extension that is not media (from a clips.csv) counts as both
    return row


def join(root: str, path: str) -> str:
    """Return `root`/`path` with forward slashes."""
    return os.path.join(root, path).replace(os.sep, "/")


def _split_ext(path: str) -> tuple[str, str]:
    """Split "a/b.MP4" into ("a/b", "mp4")."""
    name, ext = os.path.splitext(path)
    return name, ext[1:].lower()


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself or into an unreadable folder: its row fails with a reason
        return False


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_media_extension(path: str) -> bool:
    return _split_ext(path)[1] in MEDIA


def _extension(path: str) -> str:
    """Return the extension with its dot, for a message."""
    ext = os.path.splitext(path)[1].lower()
    return ext if ext.isprintable() else "with unprintable extensions"


def _count(n: int, noun: str) -> str:
    return f"1 {noun} is" if n == 1 else f"{n} {noun}s are"
