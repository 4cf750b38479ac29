"""Read the sound, the frames and the media of clips as encoded files, as they are packed."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.errors import UserError
from pipeline.media.files import MediaError, open_media
from pipeline.media.local_files import as_local_files
from pipeline.media.members import check_member, is_member, open_member
from pipeline.pack.selection import CONTENTS, Selection
from pipeline.store.values import read_arrays, read_files, read_media

PNG_LEVEL = 1  # of zlib: level 3, OpenCV's default, takes a third longer and saves 4% (docs/decisions.md)
MAX_FILE_BYTES = 10**9  # of one media file: a row of Parquet holds no more than 2 GB


@dataclass(frozen=True)
class File:
    """An encoded file of a clip. suffix: the end of its name, such as `.mp4`; empty if it has none."""

    content: bytes
    suffix: str


@dataclass
class Sample:
    """A clip as it is packed. What it lacks is None, or an empty list.

    row: what is known about it, by the names of the columns. sound: a WAV file. frames: PNG files.
    media: the file with its picture, and usually its sound. media_sound: its sound, if another file has it.
    """

    row: dict[str, Any]
    sound: bytes | None = None
    frames: list[bytes] = field(default_factory=list)
    media: File | None = None
    media_sound: File | None = None

    @property
    def n_bytes(self) -> int:
        """The size of all its files."""
        files = [self.sound or b"", *self.frames]
        files += [file.content for file in (self.media, self.media_sound) if file]
        return sum(map(len, files))


def read_samples(selection: Selection, first_row: int) -> Iterator[Sample]:
    """Yield the clips of a selection in their order, from the row `first_row` on.

    In memory are the values that one shard of the stages holds, and one file that is read in place. Raises
    UserError if a value cannot be read, or a media file changed since it was decoded.
    """
    boundaries = _shard_boundaries(selection)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start, end in zip(boundaries, boundaries[1:], strict=False):
            start = max(start, first_row)
            if start < end:
                yield from _read_block(selection, start, end - start, threads)


def _shard_boundaries(selection: Selection, max_rows: int = 1000) -> list[int]:
    """Return the rows at which a new shard of the stages begins, and the number of rows at the end.

    max_rows: the largest distance, if there are no shards because no content is packed.
    """
    n_rows = len(selection.rows)
    if not selection.indexes:
        return [*range(0, n_rows, max_rows), n_rows]
    shards = next(iter(selection.indexes.values()))["shard"].to_numpy()
    return [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), n_rows]


def _read_block(
    selection: Selection, start: int, n_rows: int, threads: ThreadPoolExecutor
) -> Iterator[Sample]:
    """Yield consecutive clips. threads: encode the frames."""
    rows = selection.rows.slice(start, n_rows).to_pylist()
    clip_ids = [row["clip_id"] for row in rows]
    indexes = {content: index.slice(start, n_rows) for content, index in selection.indexes.items()}
    sounds: dict[str, bytes] = {}
    frames: dict[str, list[bytes]] = {}
    media: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int | None] = {}
    if "sound" in indexes:
        sounds = read_files(CONTENTS["sound"], clip_ids, "audio", indexes["sound"])
    if "frames" in indexes:
        arrays = read_arrays(CONTENTS["frames"], clip_ids, indexes["frames"])
        frames = dict(zip(arrays, threads.map(encode_frames, arrays.values()), strict=True))
    if "media" in indexes:
        media = read_media(CONTENTS["media"], clip_ids, indexes["media"])
        sizes = dict(zip(clip_ids, indexes["media"]["size"].to_pylist(), strict=True))
    for clip_id, row in zip(clip_ids, rows, strict=True):
        sample = Sample(row, sounds.get(clip_id), frames.get(clip_id, []))
        if clip_id in media:
            _add_media(sample, media[clip_id], sizes[clip_id])
        yield sample


def encode_frames(frames: np.ndarray) -> list[bytes]:
    """Return frames (n, H, W, 3) uint8 RGB as PNG files, which hold the same pixels."""
    pictures = []
    for frame in frames:
        _, png = cv2.imencode(".png", frame[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
        pictures.append(png.tobytes())
    return pictures


def _add_media(sample: Sample, value: dict[str, Any], size: int | None) -> None:
    """Read the media files of a clip into its sample.

    value: `audio` and `video` as the stage `download` wrote them. size: of both files together, bytes.
    """
    clip_id = sample.row["clip_id"]
    with as_local_files([value]) as [media]:
        files = {path: _read_file(path, value, clip_id) for path in (media.video, media.audio) if path}
    if size not in (None, sum(len(file.content) for file in files.values())):
        raise UserError(f"clip {clip_id}: its file changed since it was decoded: run dvc repro")
    sample.media = files[media.video] if media.video else None
    sample.media_sound = files[media.audio] if media.audio and media.audio != media.video else None


def _read_file(path: str, value: dict[str, Any], clip_id: str) -> File:
    """Read a file of a clip's media. A file in place that is no media, or is too large, is a UserError."""
    is_in_place = path in {file["path"] for file in value.values() if file and file["bytes"] is None}
    try:
        if is_in_place:  # shards of somebody else may name any file of this machine
            with open_media(path):
                pass
        size = check_member(path)[2] if is_member(path) else os.path.getsize(path)
        if (size or 0) > MAX_FILE_BYTES:
            limit = f"{MAX_FILE_BYTES / 1e9:g} GB"
            raise UserError(f"clip {clip_id}: {path}: has more than {limit}: use --with sound,frames")
        with open_member(path) if is_member(path) else open(path, "rb") as file:
            return File(file.read(), Path(path).suffix.lower())
    except MediaError as e:
        raise UserError(f"clip {clip_id}: {e.outcome.detail}: run dvc repro") from None
    except OSError as e:
        raise UserError(f"clip {clip_id}: {path}: cannot be read ({e.strerror}): run dvc repro") from None
