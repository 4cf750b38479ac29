"""The step of the stage `frames`: evenly spaced pictures of a clip, as they are meant to be seen.

The packets of a clip are read once without decoding: their times say where the picture really begins and ends
and when each frame is shown (rates vary, headers lie, indexes are missing). Then the decoder starts at the
last keyframe before each wanted frame, and what comes out is checked against those times.
"""

import bisect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pyarrow as pa
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.media.ffmpeg import MAX_PIXELS
from pipeline.media.files import SECONDS, Media, MediaError, begin, opened, packets, pictures, span, too_large
from pipeline.media.painter import Painter
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import OK, Outcome, failed

TIMES = ("times", pa.list_(pa.float64()))  # a column: when each frame came on show
TICK = 1e-3  # s: what the times of FLV, Matroska and WebM are rounded to
UNSTEADY = 2.0  # s before a clip, by which times are right (`steady`)
BACK_OFF = (0.0, 1.0, 4.0, 16.0)  # s before the time sought, where a container's own seeking lands too late
SKIPS = ("h264",)  # whose decoder can leave out frames that no other refers to; AV1's then shows none
SLACK = 1.0  # s read past a clip's end where packets have no decoding times: frames may be out of order


@dataclass(frozen=True)
class FramesStep:
    """(clips, Media) -> uint8 array (frames, height, width, 3), RGB.

    video: the section of params.yaml (frames, height, width are read). Frame i is the one on show in the
    middle of the i-th of `frames` equal parts of the clip. extra["seconds"]: how long the picture lasts, at
    most `clip_seconds`; extra["times"]: when each frame came on show, s from the clip's start (negative where
    that was before it). A still picture is on show all the time.

    The picture is turned as its file says, its pixels made square, scaled until it covers height x width,
    and what stands over is cut off evenly on both sides.
    """

    video: Any
    clip_seconds: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, 3)."""
        return self.video.frames, self.video.height, self.video.width, 3

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/frames"), Arrays(self.shape, "uint8"), (SECONDS, TIMES))

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        painter = Painter(self.video.height, self.video.width)
        for clip, media in zip(clips, values, strict=True):
            outcome = evenly(clip, media, self.clip_seconds, self.video.frames, painter)
            if outcome.status == OK:
                outcome.value = np.stack(outcome.value)
            yield outcome


def evenly(clip: dict, media: Media, clip_seconds: float, n: int, painter: Painter) -> Outcome:
    """`n` evenly spaced pictures of a clip, as FramesStep says: an Outcome whose value is a list of them."""
    if media.video is None:
        return failed("no_video", "the clip has no picture")
    try:
        with opened(media.video) as container:
            return _evenly(clip, container, media.video, clip_seconds, n, painter)
    except MediaError as e:
        return e.outcome


def _evenly(
    clip: dict, container: InputContainer, path: str, clip_seconds: float, n: int, painter: Painter
) -> Outcome:
    name, streams = os.path.basename(path), pictures(container)
    if not streams:
        return failed("no_video", f"{name}: no picture track")
    stream = streams[0]
    context = stream.codec_context
    if context is None:  # PyAV's word for a codec that ffmpeg has no decoder for
        return failed("refused", f"{name}: no decoder for its picture")
    size = f"{context.width} x {context.height}" if context.width * context.height > MAX_PIXELS else ""
    if not context.width:  # none was decoded as the file was opened: too large, or damaged
        size = too_large(path)
    if size:
        return failed("refused", f"{name}: {size} pixels are too many")
    context.thread_type = "NONE"
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    start, length = span(clip, clip_seconds)
    if container.format.name.endswith("_pipe"):
        return _still(container, stream, painter, length, n, name)
    zero = begin(container) + start
    shown = scan(container, stream, zero, zero + length)
    if not shown.times:
        return failed("too_short", f"{name}: no picture from {start:g} s on")
    seconds = min(length, shown.end - zero)
    if seconds <= 0:
        return failed("too_short", f"{name}: the picture ends {-seconds:.2f} s before the clip's start")
    targets = [zero + seconds * (i + 0.5) / n for i in range(n)]
    wanted = [max(0, bisect.bisect_right(shown.times, t + TICK) - 1) for t in targets]
    found = decode(container, stream, shown, wanted, painter)
    if not found:
        return failed("corrupt", f"{name}: no picture can be decoded")
    known = sorted(found)
    # Where a frame is damaged, the one before it stays on show; at the very start, the next.
    used = [known[max(0, bisect.bisect_right(known, w) - 1)] for w in wanted]
    times = [shown.times[use] - zero for use in used]
    return Outcome(value=[found[use] for use in used], extra={"seconds": seconds, "times": times})


def _still(
    container: InputContainer, stream: VideoStream, painter: Painter, length: float, n: int, name: str
) -> Outcome:
    frame = next(_decoded(container, stream), None)
    if frame is None:
        return failed("corrupt", f"{name}: no picture can be decoded")
    times = [length * (i + 0.5) / n for i in range(n)]
    return Outcome(value=[painter(frame, stream)] * n, extra={"seconds": length, "times": times})


@dataclass
class Shown:
    """The frames of a stretch of video, by their packets. Times in s on the container's own clock, sorted."""

    times: list[float]
    keys: list[bool]
    end: float
    origin: float | None  # where reading began, s; None: at the beginning


def scan(container: InputContainer, stream: VideoStream, first: float, last: float) -> Shown:
    """What is on show from `first` to `last` (s): read from the packets, nothing is decoded."""
    for back in BACK_OFF if steady(container) else (UNSTEADY,):
        origin = first - back if first - back > begin(container) else None
        _seek(container, stream, origin)
        packets = _packets(container, stream, last)
        if origin is None or (packets and packets[0][0] <= first):
            break
    else:
        origin = None
        _seek(container, stream, None)
        packets = _packets(container, stream, last)
    packets.sort()
    # The frame before `first` is on show until the next one comes.
    skip = max(0, bisect.bisect_right([p[0] for p in packets], first + TICK) - 1)
    rest = packets[skip:]
    times = [p[0] for p in rest if p[0] < last]
    usual = float(1 / stream.average_rate) if stream.average_rate else 0.04
    if not times:
        return Shown([], [], first, origin)
    end = rest[len(times)][0] if len(rest) > len(times) else times[-1] + (rest[len(times) - 1][1] or usual)
    return Shown(times, [p[2] for p in rest[: len(times)]], end, origin)


def steady(container: InputContainer) -> bool:
    """Whether a frame has the same time wherever reading began. MPEG program streams give times to packets of
    several frames, and are wrong by one until the next such packet; they are decoded from one place on."""
    return container.format.name != "mpeg"


def _packets(container: InputContainer, stream: VideoStream, last: float) -> list[tuple[float, float, bool]]:
    """(time, duration, is it a keyframe) of the packets from here to `last` and one beyond it."""
    found: list[tuple[float, float, bool]] = []
    base = float(stream.time_base or 1)
    try:
        for packet in packets(container, stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or packet.size == 0:
                continue
            found.append((stamp * base, (packet.duration or 0) * base, packet.is_keyframe))
            # Decoding times never decrease and are never after the time of showing.
            if packet.dts is not None and packet.dts * base >= last or stamp * base >= last + SLACK:
                break
    except av.FFmpegError:
        return found  # cut off here: what came before counts
    return found


def _decoded(
    container: InputContainer, stream: VideoStream, wanted: list[float] | None = None
) -> Iterator[VideoFrame]:
    """Frames from here on. wanted: sorted times, s; elsewhere, frames that no other refers to are left out:
    a quarter of the time, where there are B-frames."""
    context, base = stream.codec_context, float(stream.time_base or 1)
    # One frame more on both sides: the two fields of a frame may be packets of their own.
    near = 1.5 * (float(1 / stream.average_rate) if stream.average_rate else 0.04)
    for packet in packets(container, stream):
        if wanted is not None:
            time = None if packet.pts is None else packet.pts * base
            after = 0 if time is None else bisect.bisect_left(wanted, time - near)
            needed = time is None or (after < len(wanted) and wanted[after] <= time + near)
            context.skip_frame = "DEFAULT" if needed else "NONREF"
        yield from packet.decode()


def _seek(container: InputContainer, stream: VideoStream, time: float | None) -> None:
    """To the keyframe at or before `time` (s), or to the beginning."""
    offset = stream.start_time if time is None else round(time / (stream.time_base or 1))
    container.seek(offset or 0, stream=stream, backward=True, any_frame=False)


def decode(
    container: InputContainer, stream: VideoStream, shown: Shown, wanted: list[int], painter: Painter
) -> dict[int, np.ndarray]:
    """Pictures (height, width, 3) of the frames number `wanted` of `shown`; missing where one is damaged."""
    found: dict[int, np.ndarray] = {}
    todo = sorted(set(wanted))
    if not steady(container):
        _seek(container, stream, shown.origin)
        _run(container, stream, shown, todo, painter, found, stop=False)
        return found
    while todo:
        time = shown.times[todo[0]]
        for back in BACK_OFF:
            _seek(container, stream, time - back)
            got = _run(container, stream, shown, todo, painter, found)
            if got:
                break
        todo = [w for w in todo[1:] if w not in found]
    return found


def _run(
    container: InputContainer,
    stream: VideoStream,
    shown: Shown,
    todo: list[int],
    painter: Painter,
    found: dict[int, np.ndarray],
    stop: bool = True,
) -> bool:
    """Decode from here on; put into `found` what of `todo` comes by. False: its first was passed over."""
    half = 0.5 * float(stream.time_base or 1) + 1e-6
    first = todo[0]
    position = 0
    try:
        skips = stop and stream.codec_context.name in SKIPS
        times = [shown.times[number] for number in todo] if skips else None
        for frame in _decoded(container, stream, times):
            time = frame.time
            if time is None:
                continue
            while position < len(todo) and time > shown.times[todo[position]] + half:
                position += 1  # damaged, or before the place that was sought
            if position == len(todo):
                break
            if abs(time - shown.times[todo[position]]) <= half:
                found[todo[position]] = painter(frame, stream)
                position += 1
                # A keyframe before the next: seeking to it is cheaper than decoding up to it.
                if position == len(todo):
                    break
                if stop and any(shown.keys[todo[position - 1] + 1 : todo[position] + 1]):
                    break
    except av.FFmpegError:
        return first in found
    return first in found
