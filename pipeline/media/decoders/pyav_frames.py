"""Frames of a clip with PyAV.

The packets of a clip are read once without decoding. Then the decoder starts at the last keyframe before each
selected frame, and the time stamps of decoded frames are compared with those of the packets.
"""

import bisect
import os
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.media.decoders.timeline import (
    DEFAULT_FRAME_DURATION,
    SEEK_PREROLLS,
    SLACK,
    PacketInfo,
    Timeline,
    has_steady_times,
    read_timeline,
    still_picture,
)
from pipeline.media.ffmpeg import MAX_PIXELS
from pipeline.media.files import (
    MediaError,
    open_media,
    oversized_picture,
    start_time,
    stream_packets,
    video_streams,
)
from pipeline.media.frame_converter import FrameConverter
from pipeline.store.status import Outcome, failed

SKIPPING_CODECS = ("h264",)  # decoders that can skip non-reference frames; AV1's then returns no frames


def extract_frames(path: str, start: float, length: float, n: int, converter: FrameConverter) -> Outcome:
    """Return an outcome whose value is a list of `n` pictures of a part of the file `path`.

    start, length: of the part, s; length is the maximum. Raises MediaError if the file cannot be decoded.
    """
    with open_media(path) as container:
        name = os.path.basename(path)
        stream = _prepare_stream(container, path)
        if container.format.name.endswith("_pipe"):  # a single picture
            return _repeat_still_picture(container, stream, converter, length, n, name)
        clip_start = start_time(container) + start
        timeline = _scan_packets(container, stream, clip_start, clip_start + length)
        if not timeline.times:
            return failed("too_short", f"{name}: no picture from {start:g} s on")
        seconds, selected = timeline.select(name, clip_start, length, n)
        pictures = _decode_frames(container, stream, timeline, selected, converter)
        return timeline.combine(name, pictures, selected, clip_start, seconds)


def _prepare_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the video stream of a file, with limits for its decoder. container: the open file `path`.

    Raises MediaError if there is no video stream, no decoder for it, or if its pictures are too large.
    """
    name = os.path.basename(path)
    streams = video_streams(container)
    if not streams:
        raise MediaError("no_video", f"{name}: no picture track")
    stream: VideoStream = streams[0]
    context = stream.codec_context
    if context is None:  # ffmpeg has no decoder for the codec
        raise MediaError("refused", f"{name}: no decoder for its picture")
    oversize = ""  # the size of the pictures if they are too large
    if context.width * context.height > MAX_PIXELS:
        oversize = f"{context.width} x {context.height}"
    elif not context.width:  # ffmpeg decoded no picture when it opened the file: too large, or damaged
        oversize = oversized_picture(path)
    if oversize:
        raise MediaError("refused", f"{name}: {oversize} pixels are too many")
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
    """Return an outcome whose value is a list of `n` times the picture in a file that holds one picture.

    length: of the clip, s. name: of the file, for a message.
    """
    frame = next(_decode_packets(container, stream), None)
    if frame is None:
        return failed("corrupt", f"{name}: no picture can be decoded")
    return still_picture(converter(frame, stream), length, n)


def _decode_packets(
    container: InputContainer, stream: VideoStream, times: list[float] | None = None
) -> Iterator[VideoFrame]:
    """Yield the decoded frames from the current position of the file on.

    times: sorted times of the frames that are needed, s; None: all frames are needed. Frames that no other
    frame refers to are skipped where they are not needed, which saves three quarters of the time if there are
    B-frames.
    """
    context = stream.codec_context
    time_base = float(stream.time_base or 1)
    # One more frame on both sides: the two fields of a frame may be separate packets.
    margin = 1.5 * _frame_duration(stream)
    for packet in stream_packets(container, stream):
        if times is not None:
            is_needed = packet.pts is None or _has_value_near(times, packet.pts * time_base, margin)
            context.skip_frame = "DEFAULT" if is_needed else "NONREF"
        yield from packet.decode()


def _has_value_near(sorted_values: list[float], target: float, margin: float) -> bool:
    """Return whether one of the values differs from `target` by at most `margin`."""
    index = bisect.bisect_left(sorted_values, target - margin)  # the first value that is not too small
    return index < len(sorted_values) and sorted_values[index] <= target + margin


def _decode_frames(
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    selected: list[int],
    converter: FrameConverter,
) -> dict[int, np.ndarray]:
    """Return frame number -> picture (height, width, 3), without the frames that are damaged.

    selected: numbers of frames in `timeline`, in any order; a number may occur several times.
    """
    pictures: dict[int, np.ndarray] = {}
    remaining = sorted(set(selected))
    if not has_steady_times(container.format.name):
        _seek(container, stream, timeline.origin)
        _decode_run(container, stream, timeline, remaining, converter, pictures, stop_at_keyframe=False)
        return pictures
    while remaining:
        time = timeline.times[remaining[0]]
        for preroll in SEEK_PREROLLS:
            _seek(container, stream, time - preroll)
            if _decode_run(container, stream, timeline, remaining, converter, pictures):
                break
        # The first frame is decoded now, or it is damaged: continue with the next one.
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
    """Decode from the current position on, and add the pictures of the frames `numbers` to `pictures`.

    Return whether the first one of these frames was decoded. numbers: of frames in `timeline`, sorted.
    stop_at_keyframe: stop if there is a keyframe before the next frame that is needed, since it is faster to
    seek to that keyframe than to decode up to it.
    """
    # The time stamps of a frame and of its packet may differ by a rounding error.
    tolerance = 0.5 * float(stream.time_base or 1) + 1e-6
    times = [timeline.times[number] for number in numbers]
    position = 0  # in `numbers` and `times`: of the next frame that is needed
    try:
        can_skip = stop_at_keyframe and stream.codec_context.name in SKIPPING_CODECS
        for frame in _decode_packets(container, stream, times if can_skip else None):
            time = frame.time
            if time is None:
                continue
            while position < len(numbers) and time > times[position] + tolerance:
                position += 1  # this frame is damaged, or before the position of the seek
            if position == len(numbers):
                break
            if abs(time - times[position]) <= tolerance:
                pictures[numbers[position]] = converter(frame, stream)
                position += 1
                if position == len(numbers):
                    break
                until_next = slice(numbers[position - 1] + 1, numbers[position] + 1)
                if stop_at_keyframe and any(timeline.is_keyframe[until_next]):
                    break
    except av.FFmpegError:
        pass  # the frames before the error are decoded; the caller tries the others again
    return numbers[0] in pictures


def _scan_packets(container: InputContainer, stream: VideoStream, first: float, last: float) -> Timeline:
    """Return the frames that are shown from `first` to `last` (s), from packets, without decoding."""

    def read_packets(origin: float | None) -> list[PacketInfo]:
        """Return the packets from `origin` (s) to `last`."""
        _seek(container, stream, origin)
        return _read_packets(container, stream, last)

    is_steady = has_steady_times(container.format.name)
    return read_timeline(read_packets, first, last, start_time(container), is_steady)


def _frame_duration(stream: VideoStream) -> float:
    """Return the average duration of a frame, s. It is a guess if the stream has no frame rate."""
    return float(1 / stream.average_rate) if stream.average_rate else DEFAULT_FRAME_DURATION


def _read_packets(container: InputContainer, stream: VideoStream, last: float) -> list[PacketInfo]:
    """Return the packets from the current position to `last` (s), and at least one more if there is one."""
    packets: list[PacketInfo] = []
    time_base = float(stream.time_base or 1)
    try:
        for packet in stream_packets(container, stream):
            time_stamp = packet.pts if packet.pts is not None else packet.dts
            if time_stamp is None or packet.size == 0:
                continue
            time = time_stamp * time_base
            duration = (packet.duration or 0) * time_base or _frame_duration(stream)
            packets.append(PacketInfo(time, duration, packet.is_keyframe))
            # Decoding times never decrease and are never after the presentation time.
            is_decoded_later = packet.dts is not None and packet.dts * time_base >= last
            if is_decoded_later or time >= last + SLACK:
                break
    except av.FFmpegError:
        return packets  # the file is truncated here: use the packets before
    return packets


def _seek(container: InputContainer, stream: VideoStream, time: float | None) -> None:
    """Go to the keyframe at or before `time` (a time stamp of the container, s); None: to the beginning."""
    if time is not None:
        offset = round(time / (stream.time_base or 1))
    else:
        offset = stream.start_time or 0
        if container.format.name == "mpeg":
            offset -= 1  # a search for the first time stamp itself ends after the first packet
    container.seek(offset, stream=stream, backward=True, any_frame=False)
