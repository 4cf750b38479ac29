"""The step of the stage `frames`: evenly spaced pictures of a clip, rotated and scaled as players show them.

The packets of a clip are read once without decoding. Their time stamps tell when the video really begins and
ends and when each frame is shown (frame rates vary, headers may be wrong, indexes may be missing). Then the
decoder starts at the last keyframe before each selected frame, and the time stamps of decoded frames are
compared with those of the packets.
"""

import bisect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
# s before the target of a seek, tried in turn: some containers seek to a keyframe after the target.
SEEK_PREROLLS = (0.0, 1.0, 4.0, 16.0)
DEFAULT_FRAME_DURATION = 0.04  # s, if a stream has no frame rate
SKIPPING_CODECS = ("h264",)  # decoders that can skip non-reference frames; AV1's then returns no frames
SLACK = 1.0  # s to read past a clip's end if packets have no decoding times: frames may be reordered


@dataclass(frozen=True)
class FramesStep:
    """The step of the stage `frames`: from the media files of a clip to (frames, height, width, 3) uint8 RGB.

    video: the section of params.yaml; `frames`, `height` and `width` are read. clip_seconds: the maximum
    duration of the video.

    Frame i is the one that is shown in the middle of the i-th of `frames` equal parts of the clip. A still
    picture is shown during the whole clip. A picture is rotated as its file says, its pixels are made square,
    it is scaled until it covers height x width, and what exceeds that is cropped evenly on both sides.

    An outcome has extra["seconds"], the duration of the video, and extra["times"], when the display of each
    frame begins: s from the clip's start, negative if before it.
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
        """Yield the outcome of each clip. clips: rows of the clip table. values: their files."""
        converter = FrameConverter(self.video.height, self.video.width)
        for clip, media in zip(clips, values, strict=True):
            outcome = extract_frames(clip, media, self.clip_seconds, self.video.frames, converter)
            if outcome.status == OK:
                outcome.value = np.stack(outcome.value)
            yield outcome


def extract_frames(
    clip: dict, media: Media, clip_seconds: float, n: int, converter: FrameConverter
) -> Outcome:
    """Return an outcome whose value is a list of `n` pictures of a clip, each (height, width, 3) uint8 RGB.

    Each picture is the one that is shown in the middle of one of `n` equal parts of the clip. The outcome's
    extra has `seconds`, the duration of the video, and `times`, when the display of each picture begins: s
    from the clip's start, negative if before it.

    clip: a row of the clip table. clip_seconds: the maximum duration. converter: from a frame to a picture.
    """
    if media.video is None:
        return failed("no_video", "the clip has no picture")
    try:
        with open_media(media.video) as container:
            return _extract_from_container(clip, container, media.video, clip_seconds, n, converter)
    except MediaError as e:
        return e.outcome


def _extract_from_container(
    clip: dict, container: InputContainer, path: str, clip_seconds: float, n: int, converter: FrameConverter
) -> Outcome:
    """Return the outcome of `extract_frames`: a list of `n` pictures. container: the open file `path`.

    Raises MediaError if the file cannot be decoded.
    """
    name = os.path.basename(path)
    stream = _prepare_stream(container, path)
    start, length = clip_span(clip, clip_seconds)
    if container.format.name.endswith("_pipe"):  # a single picture
        return _repeat_still_picture(container, stream, converter, length, n, name)
    clip_start = start_time(container) + start
    timeline = scan_packets(container, stream, clip_start, clip_start + length)
    if not timeline.times:
        return failed("too_short", f"{name}: no picture from {start:g} s on")
    seconds = min(length, timeline.end - clip_start)
    if seconds <= 0:
        return failed("too_short", f"{name}: the picture ends {-seconds:.2f} s before the clip's start")
    targets = [clip_start + seconds * (i + 0.5) / n for i in range(n)]
    selected = [_last_index_until(timeline.times, target + TICK) for target in targets]
    pictures = decode_frames(container, stream, timeline, selected, converter)
    if not pictures:
        return failed("corrupt", f"{name}: no picture can be decoded")
    # A damaged frame is replaced by the decoded one before it; at the very start, by the next one.
    decoded = sorted(pictures)
    frame_numbers = [decoded[_last_index_until(decoded, number)] for number in selected]
    times = [timeline.times[number] - clip_start for number in frame_numbers]
    value = [pictures[number] for number in frame_numbers]
    return Outcome(value=value, extra={"seconds": seconds, "times": times})


def _last_index_until(sorted_values: Sequence[float], limit: float) -> int:
    """Return the index of the last value that is not greater than `limit`; 0 if all are greater."""
    return max(0, bisect.bisect_right(sorted_values, limit) - 1)


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
    times = [length * (i + 0.5) / n for i in range(n)]
    return Outcome(value=[converter(frame, stream)] * n, extra={"seconds": length, "times": times})


@dataclass
class Timeline:
    """The frames of a part of a video, from its packets.

    times: when the display of each frame begins, as time stamps of the container, s, sorted. is_keyframe: for
    each frame. end: when the display of the last frame ends, s. origin: the time stamp from which the file
    was read, s; None: from its beginning.
    """

    times: list[float]
    is_keyframe: list[bool]
    end: float
    origin: float | None


class PacketInfo(NamedTuple):
    """What a packet, which holds one frame, says about it."""

    time: float  # when its display begins, s
    duration: float  # s; 0 if it is not known
    is_keyframe: bool


def scan_packets(container: InputContainer, stream: VideoStream, first: float, last: float) -> Timeline:
    """Return the frames that are shown from `first` to `last` (s), from packets, without decoding."""
    for preroll in SEEK_PREROLLS if has_steady_times(container) else (UNSTEADY_PREROLL,):
        origin = first - preroll if first - preroll > start_time(container) else None
        _seek(container, stream, origin)
        packets = _read_packets(container, stream, last)
        if origin is None or (packets and packets[0].time <= first):
            break
    else:  # all of them began after `first`
        origin = None
        _seek(container, stream, None)
        packets = _read_packets(container, stream, last)
    packets.sort()  # by time: packets are in the order of decoding
    # The last frame before `first` is shown until the next one.
    packets = packets[_last_index_until([packet.time for packet in packets], first + TICK) :]
    visible = [packet for packet in packets if packet.time < last]
    if not visible:
        return Timeline([], [], first, origin)
    if len(packets) > len(visible):
        end = packets[len(visible)].time  # the next frame replaces the last one
    else:
        end = visible[-1].time + (visible[-1].duration or _frame_duration(stream))
    times = [packet.time for packet in visible]
    return Timeline(times, [packet.is_keyframe for packet in visible], end, origin)


def _frame_duration(stream: VideoStream) -> float:
    """Return the average duration of a frame, s. It is a guess if the stream has no frame rate."""
    return float(1 / stream.average_rate) if stream.average_rate else DEFAULT_FRAME_DURATION


def has_steady_times(container: InputContainer) -> bool:
    """Return whether a frame has the same time stamp wherever reading begins.

    Not in an MPEG program stream: there, a packet with a time stamp holds several frames. After a seek, time
    stamps are wrong by one frame until the next such packet. So it is read and decoded from one position.
    """
    return container.format.name != "mpeg"


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
            packets.append(PacketInfo(time, (packet.duration or 0) * time_base, packet.is_keyframe))
            # Decoding times never decrease and are never after the presentation time.
            is_decoded_later = packet.dts is not None and packet.dts * time_base >= last
            if is_decoded_later or time >= last + SLACK:
                break
    except av.FFmpegError:
        return packets  # the file is truncated here: use the packets before
    return packets


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


def _seek(container: InputContainer, stream: VideoStream, time: float | None) -> None:
    """Go to the keyframe at or before `time` (a time stamp of the container, s); None: to the beginning."""
    offset = stream.start_time if time is None else round(time / (stream.time_base or 1))
    container.seek(offset or 0, stream=stream, backward=True, any_frame=False)


def decode_frames(
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
