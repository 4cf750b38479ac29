"""The step of the stage `frames`: evenly spaced pictures of a clip, rotated and scaled as players show them.

The packets of a clip are read once without decoding. Their time stamps tell when the video really begins and
ends and when each frame is shown (frame rates vary, headers may be wrong, indexes may be missing). Then the
decoder starts at the last keyframe before each selected frame, and the time stamps of decoded frames are
compared with those of the packets.
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
from pipeline.media.files import (
    SECONDS_COLUMN,
    Media,
    MediaError,
    clip_span,
    open_media,
    oversized_picture,
    start_time,
    stream_packets,
    video_streams,
)
from pipeline.media.frame_converter import FrameConverter
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import OK, Outcome, failed

TIMES_COLUMN = ("times", pa.list_(pa.float64()))  # when the display of each frame begins, s
TICK = 1e-3  # s: resolution of time stamps in FLV, Matroska and WebM
UNSTEADY_PREROLL = 2.0  # s to read before a clip if time stamps depend on where reading begins
SEEK_PREROLLS = (
    0.0,
    1.0,
    4.0,
    16.0,
)  # s before the target of a seek, tried in turn: some containers seek too far
SKIPPING_CODECS = ("h264",)  # decoders that can skip non-reference frames; AV1's then returns no frames
SLACK = 1.0  # s to read past a clip's end if packets have no decoding times: frames may be reordered


@dataclass(frozen=True)
class FramesStep:
    """(clips, Media) -> uint8 array (frames, height, width, 3), RGB.

    video: the section of params.yaml (frames, height, width are read). Frame i is the one that is shown in
    the middle of the i-th of `frames` equal parts of the clip. extra["seconds"]: duration of the video, at
    most `clip_seconds`. extra["times"]: when the display of each frame begins, s from the clip's start
    (negative if before it). A still picture is shown during the whole clip.

    The picture is rotated as its file says, its pixels are made square, it is scaled until it covers
    height x width, and what exceeds that is cropped evenly on both sides.
    """

    video: Any
    clip_seconds: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, 3)."""
        return self.video.frames, self.video.height, self.video.width, 3

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/frames"), Arrays(self.shape, "uint8"), (SECONDS_COLUMN, TIMES_COLUMN))

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        converter = FrameConverter(self.video.height, self.video.width)
        for clip, media in zip(clips, values, strict=True):
            outcome = extract_frames(clip, media, self.clip_seconds, self.video.frames, converter)
            if outcome.status == OK:
                outcome.value = np.stack(outcome.value)
            yield outcome


def extract_frames(
    clip: dict, media: Media, clip_seconds: float, n: int, converter: FrameConverter
) -> Outcome:
    """Return an Outcome whose value is a list of `n` evenly spaced pictures of a clip, as of FramesStep."""
    if media.video is None:
        return failed("no_video", "the clip has no picture")
    try:
        with open_media(media.video) as container:
            return _extract_frames(clip, container, media.video, clip_seconds, n, converter)
    except MediaError as e:
        return e.outcome


def _extract_frames(
    clip: dict, container: InputContainer, path: str, clip_seconds: float, n: int, converter: FrameConverter
) -> Outcome:
    name = os.path.basename(path)
    stream = _prepare_stream(container, path)
    start, length = clip_span(clip, clip_seconds)
    if container.format.name.endswith("_pipe"):
        return _repeat_still_picture(container, stream, converter, length, n, name)
    clip_start = start_time(container) + start
    timeline = scan_packets(container, stream, clip_start, clip_start + length)
    if not timeline.times:
        return failed("too_short", f"{name}: no picture from {start:g} s on")
    seconds = min(length, timeline.end - clip_start)
    if seconds <= 0:
        return failed("too_short", f"{name}: the picture ends {-seconds:.2f} s before the clip's start")
    targets = [clip_start + seconds * (i + 0.5) / n for i in range(n)]
    selected = [max(0, bisect.bisect_right(timeline.times, t + TICK) - 1) for t in targets]
    pictures = decode_frames(container, stream, timeline, selected, converter)
    if not pictures:
        return failed("corrupt", f"{name}: no picture can be decoded")
    decoded = sorted(pictures)
    # A damaged frame is replaced by the decoded one before it; at the very start, by the next one.
    numbers = [decoded[max(0, bisect.bisect_right(decoded, s) - 1)] for s in selected]
    times = [timeline.times[number] - clip_start for number in numbers]
    return Outcome(value=[pictures[number] for number in numbers], extra={"seconds": seconds, "times": times})


def _prepare_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the video stream of a file, with limits for its decoder. Raise MediaError if it has none."""
    name, streams = os.path.basename(path), video_streams(container)
    if not streams:
        raise MediaError("no_video", f"{name}: no picture track")
    stream: VideoStream = streams[0]
    context = stream.codec_context
    if context is None:  # ffmpeg has no decoder for the codec
        raise MediaError("refused", f"{name}: no decoder for its picture")
    size = f"{context.width} x {context.height}" if context.width * context.height > MAX_PIXELS else ""
    if not context.width:  # ffmpeg decoded no picture when it opened the file: too large, or damaged
        size = oversized_picture(path)
    if size:
        raise MediaError("refused", f"{name}: {size} pixels are too many")
    context.thread_type = "NONE"
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _repeat_still_picture(
    container: InputContainer,
    stream: VideoStream,
    converter: FrameConverter,
    length: float,
    n: int,
    name: str,
) -> Outcome:
    frame = next(_decode_packets(container, stream), None)
    if frame is None:
        return failed("corrupt", f"{name}: no picture can be decoded")
    times = [length * (i + 0.5) / n for i in range(n)]
    return Outcome(value=[converter(frame, stream)] * n, extra={"seconds": length, "times": times})


@dataclass
class Timeline:
    """The frames of a part of a video, from its packets.

    times: time stamps of the container at which frames are shown, s, sorted. is_keyframe: for each frame.
    end: when the display of the last frame ends, s. origin: where reading began, s; None: at the beginning.
    """

    times: list[float]
    is_keyframe: list[bool]
    end: float
    origin: float | None


def scan_packets(container: InputContainer, stream: VideoStream, first: float, last: float) -> Timeline:
    """Return the frames that are shown from `first` to `last` (s), from packets, without decoding."""
    for preroll in SEEK_PREROLLS if has_steady_times(container) else (UNSTEADY_PREROLL,):
        origin = first - preroll if first - preroll > start_time(container) else None
        _seek(container, stream, origin)
        packets = _read_packets(container, stream, last)
        if origin is None or (packets and packets[0][0] <= first):
            break
    else:
        origin = None
        _seek(container, stream, None)
        packets = _read_packets(container, stream, last)
    packets.sort()
    # The last frame before `first` is shown until the next one.
    skip = max(0, bisect.bisect_right([p[0] for p in packets], first + TICK) - 1)
    packets = packets[skip:]
    times = [p[0] for p in packets if p[0] < last]
    if not times:
        return Timeline([], [], first, origin)
    if len(packets) > len(times):
        end = packets[len(times)][0]
    else:
        end = times[-1] + (packets[len(times) - 1][1] or _frame_duration(stream))
    return Timeline(times, [p[2] for p in packets[: len(times)]], end, origin)


def _frame_duration(stream: VideoStream) -> float:
    """Return the average duration of a frame, s; 25 frames per second if the stream has no rate."""
    return float(1 / stream.average_rate) if stream.average_rate else 0.04


def has_steady_times(container: InputContainer) -> bool:
    """Return whether the time stamp of a frame does not depend on where reading began.

    An MPEG program stream has time stamps for packets of several frames. They are wrong by one frame until
    the next such packet, so these streams are read and decoded from the same position.
    """
    return container.format.name != "mpeg"


def _read_packets(
    container: InputContainer, stream: VideoStream, last: float
) -> list[tuple[float, float, bool]]:
    """Return (time, duration, is it a keyframe) of the packets from here to `last` (s) and one more."""
    rows: list[tuple[float, float, bool]] = []
    base = float(stream.time_base or 1)
    try:
        for packet in stream_packets(container, stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or packet.size == 0:
                continue
            rows.append((stamp * base, (packet.duration or 0) * base, packet.is_keyframe))
            # Decoding times never decrease and are never after the presentation time.
            if packet.dts is not None and packet.dts * base >= last or stamp * base >= last + SLACK:
                break
    except av.FFmpegError:
        return rows  # the file is truncated here: use the packets before
    return rows


def _decode_packets(
    container: InputContainer, stream: VideoStream, times: list[float] | None = None
) -> Iterator[VideoFrame]:
    """Yield the decoded frames from here on.

    times: sorted times of the frames that are needed, s. Elsewhere the decoder skips non-reference frames,
    which takes a quarter of the time if there are B-frames. None: all frames are needed.
    """
    context, base = stream.codec_context, float(stream.time_base or 1)
    # One more frame on both sides: the two fields of a frame may be separate packets.
    margin = 1.5 * _frame_duration(stream)
    for packet in stream_packets(container, stream):
        if times is not None:
            time = None if packet.pts is None else packet.pts * base
            position = 0 if time is None else bisect.bisect_left(times, time - margin)
            is_needed = time is None or (position < len(times) and times[position] <= time + margin)
            context.skip_frame = "DEFAULT" if is_needed else "NONREF"
        yield from packet.decode()


def _seek(container: InputContainer, stream: VideoStream, time: float | None) -> None:
    """Seek to the keyframe at or before `time` (s); None: to the beginning."""
    offset = stream.start_time if time is None else round(time / (stream.time_base or 1))
    container.seek(offset or 0, stream=stream, backward=True, any_frame=False)


def decode_frames(
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    selected: list[int],
    converter: FrameConverter,
) -> dict[int, np.ndarray]:
    """Return pictures (height, width, 3) by the numbers of their frames, without damaged ones."""
    pictures: dict[int, np.ndarray] = {}
    remaining = sorted(set(selected))
    if not has_steady_times(container):
        _seek(container, stream, timeline.origin)
        _decode_run(container, stream, timeline, remaining, converter, pictures, stop_at_keyframe=False)
        return pictures
    while remaining:
        time = timeline.times[remaining[0]]
        for preroll in SEEK_PREROLLS:
            _seek(container, stream, time - preroll)
            if _decode_run(container, stream, timeline, remaining, converter, pictures):
                break
        remaining = [number for number in remaining[1:] if number not in pictures]
    return pictures


def _decode_run(
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    numbers: list[int],
    converter: FrameConverter,
    pictures: dict[int, np.ndarray],
    stop_at_keyframe: bool = True,
) -> bool:
    """Decode from here on and add those of the frames `numbers` that the decoder returns to `pictures`.

    Return False if the first of them was skipped. stop_at_keyframe: return at a keyframe before the next
    frame, since seeking to it is faster than decoding up to it.
    """
    tolerance = 0.5 * float(stream.time_base or 1) + 1e-6
    position = 0
    try:
        can_skip = stop_at_keyframe and stream.codec_context.name in SKIPPING_CODECS
        times = [timeline.times[number] for number in numbers] if can_skip else None
        for frame in _decode_packets(container, stream, times):
            time = frame.time
            if time is None:
                continue
            while position < len(numbers) and time > timeline.times[numbers[position]] + tolerance:
                position += 1  # damaged, or before the position of the seek
            if position == len(numbers):
                break
            if abs(time - timeline.times[numbers[position]]) <= tolerance:
                pictures[numbers[position]] = converter(frame, stream)
                position += 1
                if position == len(numbers):
                    break
                next_frames = timeline.is_keyframe[numbers[position - 1] + 1 : numbers[position] + 1]
                if stop_at_keyframe and any(next_frames):
                    break
    except av.FFmpegError:
        return numbers[0] in pictures
    return numbers[0] in pictures
