"""Read the sound, the frames and the media of clips as encoded files, as they are packed."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.media.files import MediaError, read_head
from pipeline.media.local_files import as_local_files
from pipeline.pack.selection import CONTENTS, Selection
from pipeline.store.status import OK
from pipeline.store.values import read_arrays, read_files, read_media

PNG_LEVEL = 1  # of zlib: level 3, OpenCV's default, takes a third longer and saves 4% (docs/decisions.md)


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


def read_samples(selection: Selection, first_row: int) -> Iterator[list[Sample]]:
    """Yield the clips of a selection in their order, from the row `first_row` on.

    A list has the clips of one shard of the stages: only these are in memory. Raises UserError if a value
    cannot be read, or a media file changed since it was decoded.
    """
    boundaries = _shard_boundaries(selection)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start, end in zip(boundaries, boundaries[1:], strict=False):
            start = max(start, first_row)
            if start < end:
                yield _read_block(selection, start, end - start, threads)


def _shard_boundaries(selection: Selection, max_rows: int = 1000) -> list[int]:
    """Return the rows at which a new shard of the stages begins, and the number of rows at the end.

    max_rows: the largest distance, if there are no shards because no content is packed.
    """
    n_rows = len(selection.rows)
    if not selection.indexes:
        return [*range(0, n_rows, max_rows), n_rows]
    shards = next(iter(selection.indexes.values()))["shard"].to_numpy()
    return [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), n_rows]


def _read_block(selection: Selection, start: int, n_rows: int, threads: ThreadPoolExecutor) -> list[Sample]:
    """Read consecutive clips. threads: encode the frames."""
    samples = [Sample(row) for row in selection.rows.slice(start, n_rows).to_pylist()]
    clip_ids = [sample.row["clip_id"] for sample in samples]
    indexes = {content: index.slice(start, n_rows) for content, index in selection.indexes.items()}
    if "sound" in indexes:
        sounds = read_files(CONTENTS["sound"], clip_ids, "audio", indexes["sound"])
        for sample, clip_id in zip(samples, clip_ids, strict=True):
            sample.sound = sounds.get(clip_id)
    if "frames" in indexes:
        arrays = read_arrays(CONTENTS["frames"], clip_ids, indexes["frames"])
        pictures = dict(zip(arrays, threads.map(encode_frames, arrays.values()), strict=True))
        for sample, clip_id in zip(samples, clip_ids, strict=True):
            sample.frames = pictures.get(clip_id, [])
    if "media" in indexes:
        _add_media(samples, clip_ids, indexes["media"])
    return samples


def encode_frames(frames: np.ndarray) -> list[bytes]:
    """Return frames (n, H, W, 3) uint8 RGB as PNG files, which hold the same pixels."""
    pictures = []
    for frame in frames:
        _, png = cv2.imencode(".png", frame[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
        pictures.append(png.tobytes())
    return pictures


def _add_media(samples: list[Sample], clip_ids: list[str], index: pa.Table) -> None:
    """Read the media files of clips into their samples. index: the rows of these clips."""
    values = read_media(CONTENTS["media"], clip_ids, index)
    ok_rows = index.filter(pc.equal(index["status"], OK))
    sizes = dict(zip(ok_rows["clip_id"].to_pylist(), ok_rows["size"].to_pylist(), strict=True))
    for sample, clip_id in zip(samples, clip_ids, strict=True):
        if clip_id not in values:
            continue
        with as_local_files([values[clip_id]]) as [media]:
            files = {path: _read_file(path, clip_id) for path in (media.video, media.audio) if path}
        if sizes[clip_id] not in (None, sum(len(file.content) for file in files.values())):
            raise UserError(f"clip {clip_id}: its file changed since it was decoded: run dvc repro")
        sample.media = files[media.video] if media.video else None
        sample.media_sound = files[media.audio] if media.audio and media.audio != media.video else None


def _read_file(path: str, clip_id: str) -> File:
    try:
        read_head(path)  # no pipe, no device, not empty
        return File(Path(path).read_bytes(), Path(path).suffix.lower())
    except MediaError as e:
        raise UserError(f"clip {clip_id}: {e.outcome.detail}: run dvc repro") from None
    except OSError as e:
        raise UserError(f"clip {clip_id}: {path}: cannot be read ({e.strerror}): run dvc repro") from None
