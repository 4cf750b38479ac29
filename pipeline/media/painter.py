"""Decoded frames as pictures: turned as their file says, pixels made square, scaled, cut."""

import math
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

SHRINK, GROW, COARSE = Interpolation.AREA, Interpolation.BICUBIC, Interpolation.POINT
EXACT = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)  # without, all is one or two levels too dark
LONGEST = 4  # a picture that is shown whole is at most so many times as wide as high


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


def _newer(kind: type[Type], value: int) -> Type:
    """A kind of side data that PyAV has no name for, and would raise ValueError at: all EXIF is one."""
    member: Any = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


Type._missing_ = classmethod(_newer)  # type: ignore[method-assign, assignment]  # what an Enum has for this


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """(quarter turns counter-clockwise, mirrored left to right before that), from the display matrix.

    The matrix (a, b, u, c, d, v, x, y, w), 16.16 fixed point, takes (x, y) to (a x + c y, b x + d y), y down.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, mirrored


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
