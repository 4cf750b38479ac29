"""Frames of a clip with the ffmpeg program.

The program runs three times: it describes the first picture of the file, lists the packets of the clip
without decoding, and decodes the selected frames, which its filters scale as `FrameConverter` does.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from pipeline.media import ffmpeg
from pipeline.media.decoders import program
from pipeline.media.decoders.timeline import (
    DEFAULT_FRAME_DURATION,
    SLACK,
    PacketInfo,
    Timeline,
    has_steady_times,
    read_timeline,
    still_picture,
)
from pipeline.media.frame_converter import MIN_HD_HEIGHT, FrameConverter, covering_size, crop_size
from pipeline.store.status import Outcome, failed

MAX_LIST = 1 << 26  # bytes of a list of packets: 70 for each
MAX_SELECTED = 500  # frames that one process decodes: an argument of a command has a limited length
FIRST_FPS_MODE = (5, 1)  # the version of ffmpeg that renamed the option -vsync
# Where the sample of colour of 2 x 2 pixels is, to the right and down: in 1/256 of a pixel.
CHROMA_POSITIONS = {
    "left": (0, 128),
    "center": (128, 128),
    "topleft": (0, 0),
    "top": (128, 0),
    "bottomleft": (0, 256),
    "bottom": (128, 256),
}
NO_TIME = -(1 << 63)  # FFmpeg's AV_NOPTS_VALUE
KEYFRAME = 1  # FFmpeg's AV_PKT_FLAG_KEY


def extract_frames(path: str, start: float, length: float, n: int, converter: FrameConverter) -> Outcome:
    """Return an outcome whose value is a list of `n` pictures of a part of the file `path`.

    start, length: of the part, s; length is the maximum. Raises MediaError if the file cannot be decoded.
    """
    name = os.path.basename(path)
    video = _describe(path)
    if video.container_format.endswith("_pipe"):  # a single picture
        stream = program.open_input(path)["V:0"]
        for _, picture in _convert_frames(video, stream, 1, converter, **{"frames:v": 1}):
            return still_picture(picture, length, n)
        return failed("corrupt", f"{name}: no picture can be decoded")
    clip_start = video.start_time + start
    timeline = _list_frames(video, clip_start, clip_start + length)
    if not timeline.times:
        return failed("too_short", f"{name}: no picture from {start:g} s on")
    seconds, selected = timeline.select(name, clip_start, length, n)
    pictures = _decode_frames(video, timeline, selected, converter)
    return timeline.combine(name, pictures, selected, clip_start, seconds)


@dataclass(frozen=True)
class _Video:
    """The video stream of a file, and its first picture, rotated as players show it.

    start_time: the container's first time stamp, s; 0 if the file does not say it (has_start_time).
    time_base: the unit of the stream's time stamps, s. frame_duration: the average, s. aspect: width over
    height of a pixel. has_hd_colours: whether players assume BT.709, which the file does not say.
    pixel_format, chroma_location: ffmpeg's names.
    """

    path: str
    container_format: str
    start_time: float
    has_start_time: bool
    time_base: float
    frame_duration: float
    height: int
    width: int
    aspect: float
    is_interlaced: bool
    has_hd_colours: bool
    pixel_format: str
    chroma_location: str


def _describe(path: str) -> _Video:
    """Return what the program says about a file and its first picture.

    Raises MediaError if there is no video stream, no decoder for it, or if nothing can be decoded.
    """
    stream = program.open_input(path)["V:0"]
    head = stream.output("pipe:1", format="framecrc", c="copy", t=0)  # the stream's header, without packets
    picture = stream.filter("showinfo").output("-", format="null", **{"frames:v": 1})
    output = program.run(path, program.OVERHEAD, head, picture)
    header = output.content.decode("utf-8", "replace")
    lines = re.search(r"^#dimensions 0: \d+x(\d+)", header, re.MULTILINE)
    tick = re.search(r"^#tb 0: (\d+)/(\d+)", header, re.MULTILINE)
    description = output.find(
        r"\[Parsed_showinfo\S* @ \S+ n: *0 .* fmt:(\S+) .*sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)"
    )
    if not (lines and tick and description):
        raise program.explain(path, output.log, "video")
    rate = output.find(r"\[Parsed_showinfo\S* @ .* frame_rate: (\d+)/(\d+)")
    colour_space = output.find(r"\[Parsed_showinfo\S* @ .*color_space:(\w+)")
    location = re.search(r"\bcl:(\w+)", description[0])  # not in the log of an old program
    pixel_format, *numbers, field_order = description.groups()
    aspect_width, aspect_height, width, height = map(int, numbers)
    is_interlaced = field_order in "TB" and height >= 4
    coded_height = int(lines[1]) // (2 if is_interlaced else 1)  # of what is scaled, before it is rotated
    is_unspecified = not colour_space or colour_space[1] == "unknown"
    return _Video(
        path=path,
        container_format=output.container_format,
        start_time=output.start_time or 0.0,
        has_start_time=output.start_time is not None,
        time_base=int(tick[1]) / int(tick[2]),
        frame_duration=int(rate[2]) / int(rate[1]) if rate and int(rate[1]) else DEFAULT_FRAME_DURATION,
        height=height,
        width=width,
        aspect=aspect_width / aspect_height if aspect_width and aspect_height else 1.0,
        is_interlaced=is_interlaced,
        has_hd_colours=is_unspecified and coded_height >= MIN_HD_HEIGHT and not _is_rgb(pixel_format),
        pixel_format=pixel_format,
        chroma_location=location[1] if location else "",
    )


def _chroma_position(video: _Video) -> dict[str, int]:
    """Return the options of ffmpeg's `scale` that say where the samples of colour are; none if unknown.

    PyAV reads it from each frame; the program's filter does not.
    """
    position = CHROMA_POSITIONS.get(video.chroma_location)
    try:
        pixels = av.VideoFormat(video.pixel_format, 16, 16)
    except ValueError:
        position = None
    if position is None:
        return {}
    subsampling = 16 // pixels.chroma_width(), 16 // pixels.chroma_height()  # 1: none
    horizontal, vertical = (p * (s - 1) for p, s in zip(position, subsampling, strict=True))
    return {"in_h_chr_pos": horizontal, "in_v_chr_pos": vertical}


def _is_rgb(pixel_format: str) -> bool:
    """Return whether a pixel format, such as yuv420p, holds RGB. One that PyAV does not know does not."""
    try:
        return av.VideoFormat(pixel_format, 16, 16).is_rgb
    except ValueError:
        return False


def _list_frames(video: _Video, first: float, last: float) -> Timeline:
    """Return the frames that are shown from `first` to `last` (s), from packets, without decoding."""

    def read_packets(origin: float | None) -> list[PacketInfo]:
        """Return the packets from `origin` (s) to `last`."""
        begin = video.start_time if origin is None else origin
        options = program.seek_options(origin, video.start_time)
        if video.has_start_time:  # without one, the program would copy nothing
            options["t"] = f"{last - begin + SLACK:.6f}"
        copy = program.open_input(video.path, **options)["V:0"].output(
            "pipe:1", format="framecrc", c="copy", copyinkf=None
        )
        content = program.run(video.path, MAX_LIST, copy).content
        packets = list(_parse_packets(content.decode("utf-8", "replace"), video))
        # After a seek, what comes before a keyframe cannot be decoded.
        keyframes = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        return packets[keyframes[0] :] if origin is not None and keyframes else packets

    is_steady = has_steady_times(video.container_format)
    return read_timeline(read_packets, first, last, video.start_time, is_steady)


def _parse_packets(text: str, video: _Video) -> Iterator[PacketInfo]:
    """Yield packets from lines of ffmpeg's framecrc: stream, dts, pts, duration, size, checksum, flags.

    Flags that are left out are those of a keyframe.
    """
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if line.startswith("#") or len(fields) < 6:
            continue
        _, dts, pts, duration, size, _, *flags = fields
        time_stamp = int(pts) if int(pts) != NO_TIME else int(dts)
        if time_stamp == NO_TIME or int(size) == 0:
            continue
        is_keyframe = all(not flag.startswith("F=") or int(flag[2:], 16) & KEYFRAME for flag in flags)
        seconds = int(duration) * video.time_base or video.frame_duration
        yield PacketInfo(time_stamp * video.time_base, seconds, is_keyframe)


def _decode_frames(
    video: _Video, timeline: Timeline, selected: list[int], converter: FrameConverter
) -> dict[int, np.ndarray]:
    """Return frame number -> picture (height, width, 3), without the frames that are damaged.

    selected: numbers of frames in `timeline`, in any order; a number may occur several times.
    """
    pictures: dict[int, np.ndarray] = {}
    numbers = sorted(set(selected))
    # The time stamps of a frame and of its packet may differ by a rounding error.
    tolerance = 0.5 * video.time_base + 1e-6
    seek = program.seek_options(timeline.origin, video.start_time)
    for i in range(0, len(numbers), MAX_SELECTED):
        part = numbers[i : i + MAX_SELECTED]
        times = [timeline.times[number] for number in part]
        conditions = [f"lt(abs(t-{time:.6f}),{tolerance:.7f})" for time in times]
        stream = (
            program.open_input(video.path, **seek)["V:0"]
            .filter("trim", end=f"{times[-1] + 2 * tolerance:.6f}")
            .filter("select", "+".join(conditions))
        )
        for time, picture in _convert_frames(video, stream, len(part), converter):
            number = part[int(np.abs(np.array(times) - time).argmin())]
            pictures.setdefault(number, picture)
    return pictures


def _convert_frames(
    video: _Video, stream: Any, n: int, converter: FrameConverter, **options: Any
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time, s, and the picture, (height, width, 3) uint8 RGB, of the frames of `stream`.

    stream: of ffmpeg-python: the frames as they are decoded, rotated. n: their number, at most. options: of
    the output.
    """
    frame_height, aspect = video.height, video.aspect
    if video.is_interlaced:
        stream = stream.filter("field", type="top")
        frame_height, aspect = frame_height // 2, aspect / 2
    height, width = converter.output_size(frame_height, video.width * aspect)
    aspect = converter.fit_aspect(frame_height, video.width, aspect, height, width)
    size = crop_size(frame_height, video.width, aspect, height, width) or (frame_height, video.width)
    if size != (frame_height, video.width):
        stream = stream.filter("crop", size[1], size[0], exact=1)
    scaled_height, scaled_width = covering_size(*size, aspect, height, width)
    is_smaller = scaled_width < size[1] and scaled_height < size[0]
    colours = _chroma_position(video) | ({"in_color_matrix": "bt709"} if video.has_hd_colours else {})
    flags = f"{'area' if is_smaller else 'bicubic'}+accurate_rnd+full_chroma_int"
    stream = (
        stream.filter("scale", scaled_width, scaled_height, flags=flags, out_range="pc", **colours)
        .filter("format", "rgb24")
        .filter("crop", width, height, (scaled_width - width) // 2, (scaled_height - height) // 2)
    )
    # Every frame with its own time stamp, in units of 1 us.
    is_old = ffmpeg.version(ffmpeg.binary()) < FIRST_FPS_MODE
    options |= {"vsync" if is_old else "fps_mode": "passthrough", "enc_time_base": "1:1000000"}
    raw = stream.output("pipe:1", format="nut", vcodec="rawvideo", **options)
    max_bytes = 2 * n * (height * width * 3 + 1024) + program.OVERHEAD
    for frame in program.run(video.path, max_bytes, raw).frames():
        yield frame.time or 0.0, frame.to_ndarray()
