"""The source `folder`: a user's own videos, sounds and pictures, read in place.

`clips.csv` in the folder lists the clips. Without it, every media file is a clip: in `<label>/.../<file>`,
the first folder is the label; a file at the top has no label. With `data.pair: category`, a clip is a sound
of `sounds/<label>/` and a picture of `pictures/<label>/`.

Links to files are followed wherever they lead: the owner of the folder put them there. Links to folders are
followed too, except a link to a folder that contains the data folder or is inside it. Each real folder is
read once, so no link makes the scan endless or counts a clip twice.
"""

import os
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.folder import clips_csv, pairs
from pipeline.sources.folder.extensions import BOTH, PICTURE, SOUND, split_extension
from pipeline.sources.folder.ids import add_ids
from pipeline.sources.folder.in_place import check_file, fetch, stamp
from pipeline.sources.folder.listing import CSV, Scan, scan
from pipeline.sources.folder.paths import join, resolve
from pipeline.sources.messages import quote_first
from pipeline.store import clip_table

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["add_ids", "check_file", "clips", "fetch", "join", "resolve", "scan", "stamp"]

LONG_FILES = True  # a row without times may be cut into several clips
EXTRA = pa.schema([pa.field("video_id", pa.string())])  # the path within the folder: clips are split by it


def clips(data: "DataParams") -> Clips:
    """Return the clips of `data.folder`: in the order of its clips.csv, else by relative path (bytes).

    A path in the table is `data.folder`, as the user wrote it, joined with the relative path: so the table is
    the same on every machine.
    Raises UserError if there is no folder or no media in it, and for any problem in its clips.csv.
    """
    root = resolve(data.folder)
    files = scan(root)
    entries = _list_entries(root, files, data)
    rows = [_table_row(root, entry) for entry in entries]
    has_side_times = any(row[name] is not None for row in rows for name in clip_table.SIDE_TIMES)
    extra = [*EXTRA, *(pa.field(name, pa.float64()) for name in clip_table.SIDE_TIMES if has_side_times)]
    return Clips(clip_table.from_rows(rows, pa.schema(extra)), _describe(root, files, rows, data))


def _list_entries(root: str, files: Scan, data: "DataParams") -> list[dict]:
    """Return the clips of the folder `root`, as `_table_row` takes them. Raises UserError as `clips` does."""
    csv_path = os.path.join(root, CSV)
    if os.path.lexists(csv_path):
        if data.pair == "category":
            raise UserError(f"{csv_path}: lists the clips: delete it, or set data.pair: none")
        entries, problems = clips_csv.read_clips_csv(root, CSV)
        add_ids(entries)
        pairs.set_groups(entries)
        problems += clips_csv.find_duplicates(entries) + clips_csv.find_split_conflicts(entries)
        clips_csv.raise_problems(csv_path, problems)
    elif data.pair == "category":
        entries = pairs.join_by_label(files.media, root, data.seed)
        add_ids(entries)
    elif not files.media:
        count = f" (other files: {files.non_media})" if files.non_media else ""
        raise UserError(
            f"{root}: no video, sound or picture files in this folder{count}:"
            " put some there, or set data.folder to a folder that has some"
        )
    else:
        entries = []
        for path in files.media:
            label, slash, _ = path.partition("/")
            sides = {"audio": SOUND | BOTH, "video": PICTURE | BOTH}
            extension = split_extension(path)[1]
            side_files = {side: path if extension in kinds else None for side, kinds in sides.items()}
            entries.append({"path": path, **side_files, "labels": [label] if slash else []})
        add_ids(entries)
    return entries


def _describe(root: str, files: Scan, rows: list[dict], data: "DataParams") -> list[str]:
    """Return a line for each kind of file or folder that is in no row of the clip table."""
    if data.pair == "category":
        unlisted, lines = [], pairs.describe_pairs(files.media, len(rows))
    else:
        table_paths = {row[side] for row in rows for side in ("audio", "video")}
        unlisted, lines = [path for path in files.media if join(root, path) not in table_paths], []
    if files.non_media:
        common_extensions = files.non_media_extensions.most_common(5)
        counts = ", ".join(f"{n} {extension or 'without extension'}" for extension, n in common_extensions)
        lines.append(f"{_count(files.non_media, 'file')} not media by extension, left out: {counts}")
    loop_reason = "left out: a link to a folder that is read already or that contains this one"
    for paths, noun, reason in [
        (unlisted, "media file", f"not in {CSV}, left out"),
        (files.bad_names, "media file", "left out: the name is not UTF-8"),
        (files.unreadable, "folder", "left out: it cannot be read"),
        (files.loops, "folder", loop_reason),
    ]:
        if paths:
            lines.append(f"{_count(len(paths), noun)} {reason}: {quote_first(paths)}")
    return lines


def _table_row(root: str, entry: dict) -> dict:
    """Return the row of the clip table for a row of clips.csv, or for a file of a folder without one.

    entry: has `path`, `clip_id`, `audio` and `video` (relative to `root`, or None), and perhaps further
    columns of the clip table.
    """
    row = {name: entry.get(name) for name in (*clip_table.SCHEMA.names, *clip_table.SIDE_TIMES)}
    files = {side: entry[side] and join(root, entry[side]) for side in ("audio", "video")}
    video_id = entry.get("video_id") or entry["path"]
    return row | files | {"labels": entry.get("labels") or [], "video_id": video_id}


def _count(n: int, noun: str) -> str:
    """Return the beginning of a sentence: "1 file is" or "3 files are"."""
    return f"1 {noun} is" if n == 1 else f"{n} {noun}s are"
