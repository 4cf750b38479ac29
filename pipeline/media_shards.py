"""The folders of the data stages, and the way from a media shard to files that a decoder can open."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.media import Media
from pipeline.shards import Arrays, Files, Shards

SECONDS = ("seconds", pa.float64())  # how much of the clip is real; what follows is padding

# size and modified (ns) tell a changed file from the one that was read before.
MEDIA = Shards(
    Path("data/media"), Files(("audio", "video")), (("size", pa.int64()), ("modified", pa.int64()))
)
WAV = Shards(Path("data/wav"), Files(("audio",)), (SECONDS,))


def spectrogram(shape: tuple[int, ...], dtype: str) -> Shards:
    return Shards(Path("data/spectrogram"), Arrays(shape, dtype), (SECONDS,))


def frames(shape: tuple[int, ...]) -> Shards:
    return Shards(Path("data/frames"), Arrays(shape, "uint8"), (SECONDS, ("times", pa.list_(pa.float64()))))


def faces(shape: tuple[int, ...]) -> Shards:
    """boxes: left, top, width, height in parts of the picture. found, angles: see pipeline.faces."""
    each = ("boxes", pa.list_(pa.list_(pa.float64()))), ("found", pa.list_(pa.bool_()))
    more = ("times", pa.list_(pa.float64())), *each, ("angles", pa.list_(pa.float64()))
    return Shards(Path("data/faces"), Arrays(shape, "uint8"), (SECONDS, *more))


@contextmanager
def opened(values: list[Any]) -> Iterator[list[Media]]:
    """Media shard values as local files: written to a temporary folder where the shard holds their bytes."""
    with tempfile.TemporaryDirectory() as folder:
        media = []
        for i, value in enumerate(values):
            paths: dict[str, str] = {}  # by the path in the shard: sound and picture may be one file
            for kind in ("video", "audio"):
                file = value[kind]
                if file and file["bytes"] is not None:
                    path = Path(folder) / f"{i:06d}-{kind}{Path(file['path']).suffix}"
                    path.write_bytes(file["bytes"])
                    paths[file["path"]] = str(path)
            local = {
                k: value[k] and paths.get(value[k]["path"], value[k]["path"]) for k in ("audio", "video")
            }
            media.append(Media(**local))
        yield media
