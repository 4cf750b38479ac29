"""The source `folder`: a user's own videos, sounds and pictures, read in place.

`clips.csv` in the folder lists the clips (`clips_csv.py`). Without it, every media file is a
clip: in `<label>/.../<file>`, the first folder is the label; a file at the top has no label.

Links to files are followed wherever they lead: the owner of the folder put them there. Links to folders are
followed too, except a link to a folder that contains the data folder or is inside it. Each real folder is
read once, so no link makes the scan endless or counts a clip twice.
"""

import os
import stat
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download.step import in_place_outcome
from pipeline.errors import UserError
from pipeline.sources.folder import clips_csv
from pipeline.sources.folder.extensions import PICTURE, SOUND, split_extension
from pipeline.sources.folder.ids import add_ids
from pipeline.sources.folder.listing import CSV, scan
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

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
    ext = split_extension(entry["path"])[1]
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


def _count(n: int, noun: str) -> str:
    return f"1 {noun} is" if n == 1 else f"{n} {noun}s are"
