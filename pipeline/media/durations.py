"""How long media files are, from their headers, for clips that are cut from them."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from pipeline.media.files import SECONDS_COLUMN, MediaError, open_media, start_time
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome

# The values are also in the index, in the column `seconds`: null for a still picture.
LAYOUT = Layout(Path("data/durations"), Arrays((1,), "float64"), (SECONDS_COLUMN,))


def durations_step(files: list[dict], values: list) -> Iterator[Outcome]:
    """Yield the duration of each file, s, as extra["seconds"]; None for a still picture.

    files: dictionaries with `video`, the path. values: not used.
    """
    for file in files:
        try:
            with open_media(file["video"]) as container:
                seconds = read_duration(container)
        except MediaError as e:
            yield e.outcome
        else:
            yield Outcome(value=np.array([seconds or np.nan]), extra={"seconds": seconds})


def read_duration(container: InputContainer) -> float | None:
    """Return the duration of an open file, s; None for a still picture.

    A file whose header lacks it is read to its end, without decoding.
    """
    if container.format.name.endswith("_pipe"):
        return None
    if container.duration and container.duration > 0:
        return container.duration / av.time_base
    start = end = start_time(container)
    for packet in container.demux():
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end - start
