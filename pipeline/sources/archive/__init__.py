"""The source `archive`: clips in tars and Parquet files, read where they lie, on this machine or by fsspec.

`data.archives` selects them. In a tar, members with one key (the path without its extension) are one clip:
a video, or a sound and a picture, with labels and facts in `.json`, `.cls` and `.txt`, as in WebDataset. In a
Parquet file, a row is a clip, with columns of bytes as Hugging Face `datasets` writes them.

Source: WebDataset's format, github.com/webdataset/webdataset; the features Audio, Image and Video of
`datasets`.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.media.members import MediaError, TarMember, open_archive
from pipeline.sources import Clips
from pipeline.sources.archive import tar_clips
from pipeline.sources.archive.entries import Entry, make_ids, splits_by_name
from pipeline.sources.archive.facts import common_columns
from pipeline.sources.archive.in_place import fetch
from pipeline.sources.archive.isolated import list_parquet_clips
from pipeline.sources.archive.patterns import find_archives, list_archives
from pipeline.sources.archive.tar_index import READ_SIZE, read_index
from pipeline.sources.folder.extensions import MEDIA, split_extension
from pipeline.sources.folder.in_place import stamp
from pipeline.sources.messages import quote_first
from pipeline.store import clip_table

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

T = TypeVar("T")
__all__ = ["clips", "fetch", "find_archives", "find_members", "list_archives", "stamp"]
EXTRA = pa.schema(
    [
        pa.field("video_id", pa.string()),  # the key: clips are split by it
        pa.field("problem", pa.string()),  # "<status>: <reason>" if the media cannot be read
    ]
)
PARALLEL = 8  # archives that are listed at a time: it is waiting, mostly


def clips(data: "DataParams") -> Clips:
    """Return the clips of the archives: in their order, and that of the clips in each.

    Raises UserError if an archive cannot be read, and if there are no clips.
    """
    archives = list_archives(data)
    entries, lines = _list_entries(archives)
    if not entries:
        reason = f" ({lines[0]})" if lines else ""
        raise UserError(f"{archives[0]}: no media in {len(archives)} archives{reason}: correct data.archives")
    splits = splits_by_name(archives)
    columns, unused = common_columns(entry.facts for entry in entries)
    rows = []
    for clip_id, entry in zip(make_ids(entries), entries, strict=True):
        facts = entry.facts
        row: dict[str, Any] = {
            "clip_id": clip_id,
            "audio": entry.audio,
            "video": entry.video,
            "video_id": entry.key,
        }
        row |= {"labels": facts.labels, "subject": facts.subject, "problem": entry.problem or None}
        row |= {"split": facts.split or splits.get(entry.archive)}
        rows.append(row | {name: facts.other.get(name) for name in columns})
    splits_of_rows = {row["split"] for row in rows}
    if "test" in splits_of_rows and "val" not in splits_of_rows:  # usual on the Hub
        lines.append("no clip is for validation: the stage split takes split.val of those for training")
        rows = [row | {"split": None if row["split"] == "train" else row["split"]} for row in rows]
    if unused:
        lines.append(f"{len(unused)} facts left out, too many for the clip table: {quote_first(unused)}")
    extra = pa.schema([*EXTRA, *((name, pa.string()) for name in columns)])
    return Clips(clip_table.from_rows(rows, extra), lines)


def find_members(archives: list[str]) -> dict[str, str]:
    """Return the media in tars: name without folders and extension -> location. Of equal names, the last.

    archives: paths or URLs (`find_archives`). Raises UserError if one cannot be read or is no tar.
    """
    locations = {}
    for archive, index in zip(archives, _map_parallel(read_index, archives), strict=True):
        for member in index.members:
            stem, extension = split_extension(member.name.rpartition("/")[2])
            if extension in MEDIA and not member.problem:
                locations[stem] = str(TarMember(member.offset, member.size, archive, member.name))
    return locations


def _list_entries(archives: list[str]) -> tuple[list[Entry], list[str]]:
    """Return the clips of all archives, and lines about what is in none. Raises UserError."""
    is_parquet = dict(zip(archives, _map_parallel(_is_parquet, archives), strict=True))
    parquets = [archive for archive in archives if is_parquet[archive]]
    tars = [archive for archive in archives if not is_parquet[archive]]
    lists = dict(zip(parquets, list_parquet_clips(parquets), strict=True))
    lists |= zip(tars, _map_parallel(_list_tar, tars), strict=True)
    entries = [entry for archive in archives for entry in lists[archive][0]]
    return entries, [line for archive in archives for line in lists[archive][1]]


def _is_parquet(archive: str) -> bool:
    """Return whether an archive begins as a Parquet file does."""
    try:
        raw = open_archive(archive, READ_SIZE)
        first_bytes = raw.read_at(0, 4)
        raw.close()
    except MediaError as e:
        raise UserError(f"{archive}: {e}") from None
    return first_bytes == b"PAR1"


def _list_tar(archive: str) -> tuple[list[Entry], list[str]]:
    """Return the clips of a tar, and lines about what is in none."""
    return tar_clips.list_clips(archive, read_index(archive))


def _map_parallel(function: Callable[[str], T], archives: Iterable[str]) -> list[T]:
    with ThreadPoolExecutor(PARALLEL) as executor:
        return list(executor.map(function, archives))
