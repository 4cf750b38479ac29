"""The step of the stage `frames`: evenly spaced pictures of a clip, as they are meant to be seen.

The packets of a clip are read once without decoding: their times say where the picture really begins and ends
and when each frame is shown (rates vary, headers lie, indexes are missing). Then the decoder starts at the
last keyframe before each wanted frame, and what comes out is checked against those times.
"""

import bisect
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pipeline.media.ffmpeg import MAX_PIXELS
from pipeline.media.files import Media, MediaError, begin, opened, packets, pictures, span, too_large
from pipeline.store.status import OK, Outcome, failed

SHRINK, GROW, COARSE = Interpolation.AREA, Interpolation.BICUBIC, Interpolation.POINT
EXACT = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)  # without, all is one or two levels too dark
TICK = 1e-3  # s: what the times of FLV, Matroska and WebM are rounded to
UNSTEADY = 2.0  # s before a clip, by which times are right (`steady`)
BACK_OFF = (0.0, 1.0, 4.0, 16.0)  # s before the time sought, where a container's own seeking lands too late
LONGEST = 4  # a picture that is shown whole is at most so many times as wide as high
SKIPS = ("h264",)  # whose decoder can leave out frames that no other refers to; AV1's then shows none
UNNAMED_SIDE_DATA = range(len(SideDataType), 64)  # numbers of AV_FRAME_DATA_...; PyAV names the lowest
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

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        painter = Painter(self.video.height, self.video.width)
        for clip, media in zip(clips, values, strict=True):
            outcome = evenly(clip, media, self.clip_seconds, self.video.frames, painter)
            if outcome.status == OK:
                outcome.value = np.stack(outcome.value)
            yield outcome


def evenly(clip: dict, media: Media, clip_seconds: float, n: int, painter: "Painter") -> Outcome:
    """`n` evenly spaced pictures of a clip, as FramesStep says: an Outcome whose value is a list of them."""
    if media.video is None:
        return failed("no_video", "the clip has no picture")
    try:
        with opened(media.video) as container:
            return _evenly(clip, container, media.video, clip_seconds, n, painter)
    except MediaError as e:
        return e.outcome


def _evenly(
    clip: dict, container: InputContainer, path: str, clip_seconds: float, n: int, painter: "Painter"
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
    container: InputContainer, stream: VideoStream, painter: "Painter", length: float, n: int, name: str
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
    container: InputContainer, stream: VideoStream, shown: Shown, wanted: list[int], painter: "Painter"
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
    painter: "Painter",
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


class Painter:
    """Turns decoded frames into pictures (height, width, 3) uint8 RGB; without a width they are shown whole,
    `height` high at most."""

    def __init__(self, height: int, width: int | None = None) -> None:
        self.height, self.width = height, width
        self.reformatter, self.tiny = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: VideoFrame, stream: VideoStream) -> np.ndarray:
        # A frame whose side data was asked for holds itself in a cycle: ask a tiny copy, which has it too.
        tiny = self.tiny.reformat(frame, width=16, height=16, format="gray", interpolation=COARSE, threads=1)
        turn, mirrored = orientation(tiny)
        aspect = float(stream.sample_aspect_ratio or 1)  # of one pixel, width to height
        if frame.interlaced_frame and frame.height >= 4:
            # One field of the two: they show different moments.
            frame, aspect = filtered(frame, ("field", "top")), aspect / 2
        height, width = self.height, self.width
        if width is None:  # as large as it is, up to that height
            lines, columns = frame.height, frame.width * aspect
            upright, across = (columns, lines) if turn % 2 else (lines, columns)
            scale = min(1.0, height / upright, LONGEST * height / across)
            height, width = max(round(upright * scale), 1), max(round(across * scale), 1)
        height, width = (width, height) if turn % 2 else (height, width)
        ratio = frame.width * aspect * height / (frame.height * width)
        if not 0.25 < ratio < 4:
            # Most of it will be cut off: do so before scaling, which could take any amount of memory.
            w = min(frame.width, math.ceil(frame.width / ratio) + 1)
            h = min(frame.height, math.ceil(frame.height * ratio) + 1)
            frame = filtered(frame, ("crop", f"{w}:{h}:exact=1"))
        scale = max(height / frame.height, width / (frame.width * aspect))
        h, w = max(height, round(frame.height * scale)), max(width, round(frame.width * aspect * scale))
        picture = self.reformatter.reformat(
            frame,
            width=w,
            height=h,
            format="rgb24",
            src_colorspace=Colorspace.ITU709 if unnamed_hd(frame) else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=(SHRINK if w < frame.width and h < frame.height else GROW) | EXACT,
            threads=1,
        ).to_ndarray()
        top, left = (h - height) // 2, (w - width) // 2
        picture = picture[top : top + height, left : left + width]
        return np.rot90(picture[:, ::-1] if mirrored else picture, turn)


def unnamed_hd(frame: VideoFrame) -> bool:
    """Files that do not name their colours mean BT.709 from 720 lines on, as players take it; else BT.601."""
    return frame.colorspace == 2 and frame.height >= 720 and not frame.format.is_rgb


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """(quarter turns counter-clockwise, mirrored left to right before that), from the display matrix.

    The matrix (a, b, u, c, d, v, x, y, w), 16.16 fixed point, takes (x, y) to (a x + c y, b x + d y), y down.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, mirrored


def _side_data(frame: VideoFrame) -> Any:
    """Return the side data of a frame, without the kinds that PyAV has no name for and raises ValueError at.

    EXIF is one of them.
    """
    try:
        return frame.side_data
    except ValueError:
        deletions = [("sidedata", f"mode=delete:type={kind}") for kind in UNNAMED_SIDE_DATA]
        return filtered(frame, *deletions).side_data


def filtered(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    """`frame` after ffmpeg's `filters`, each (name, arguments)."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, *(graph.add(*f) for f in filters), graph.add("buffersink")).configure()
    graph.push(frame)
    pulled: Any = graph.pull()
    return pulled
