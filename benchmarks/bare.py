"""The limit: the same streams decoded in this process and nothing else done, neither checked nor kept.

`python -m benchmarks.bare ROWS FILM ...` says when it is ready, waits for a line, and decodes.
"""

import sys
from contextlib import suppress

import av
import numpy as np

from pipeline.config import read


def sound(path: str, rate: int, start: float = 0.0, length: float | None = None) -> np.ndarray:
    """(time,) int16, mono, at `rate`: all of it, or `length` s from `start`."""
    resampler = av.AudioResampler("s16", "mono", rate)
    parts = []
    with av.open(path) as file:
        _seek(file, file.streams.audio[0], start)
        for frame in file.decode(audio=0):
            if frame.time < start - 0.05:
                continue
            if length is not None and frame.time >= start + length:
                break
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts)


def picture(path: str, time: float | None, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: the frame at `time` (s), or the middle one by what the header says."""
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        time = file.duration / av.time_base / 2 if time is None else time
        _seek(file, stream, time)
        frame = next(f for f in file.decode(stream) if f.time >= time - 0.034)
        return frame.to_ndarray(format="rgb24", height=height, width=width)


def pictures(path: str, times: list[float], height: int, width: int) -> list[np.ndarray]:
    """(height, width, 3) uint8 each: the frames at these times (s, in order), with a seek where one helps."""
    images = []
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        for time in times:
            _seek(file, stream, time)
            frame = next(f for f in file.decode(stream) if f.time >= time - 0.001)
            images.append(frame.to_ndarray(format="rgb24", height=height, width=width))
    return images


def decode(path: str, kind: str, first: float = 0.0, last: float = np.inf) -> None:
    """All frames from the keyframe before `first` (s) to `last`, thrown away. kind: audio or video."""
    with av.open(path) as file:
        stream = getattr(file.streams, kind)[0]
        if kind == "video":
            stream.thread_type = "NONE"
            _seek(file, stream, first)
        for frame in file.decode(stream):
            if frame.time >= last - 0.001:
                break


def _seek(file: av.container.InputContainer, stream: av.stream.Stream, time: float) -> None:
    with suppress(av.PermissionError):  # what ffmpeg says where it finds no such place: read from the start
        file.seek(round(time / stream.time_base), stream=stream)


def main(rows: int, films: list[str]) -> None:
    params = read()
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(rows):
        film = films[i % len(films)]
        sound(film, params.audio.sample_rate)
        picture(film, None, params.video.height, params.video.width)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
