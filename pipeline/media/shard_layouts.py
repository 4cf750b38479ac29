"""The folders of the data stages, and what their shards hold."""

from pathlib import Path

import pyarrow as pa

from pipeline.store.shards import Arrays, Files, Shards

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
    """boxes: left, top, width, height in parts of the picture. found, angles: see pipeline.media.faces."""
    each = ("boxes", pa.list_(pa.list_(pa.float64()))), ("found", pa.list_(pa.bool_()))
    more = ("times", pa.list_(pa.float64())), *each, ("angles", pa.list_(pa.float64()))
    return Shards(Path("data/faces"), Arrays(shape, "uint8"), (SECONDS, *more))
