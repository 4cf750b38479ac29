"""Convert decoded frames to pictures: rotate, make pixels square, scale, crop."""

import math
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

SHRINK, GROW, COARSE = Interpolation.AREA, Interpolation.BICUBIC, Interpolation.POINT
# Without these flags, pictures are one or two levels too dark.
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
MAX_ASPECT = 4  # width over height of a picture that is not cropped, at most
UNNAMED_SIDE_DATA = range(len(SideDataType), 64)  # values of AV_FRAME_DATA_... that PyAV has no names for


class FrameConverter:
    """Converts decoded frames to pictures (height, width, 3), uint8 RGB.

    With a width, a picture is scaled until it covers height x width, and what exceeds that is cropped evenly
    on both sides. Without a width, it is not cropped, and is scaled down to `height` lines if it has more.
    """

    def __init__(self, height: int, width: int | None = None) -> None:
        self.height, self.width = height, width
        self.reformatter, self.tiny_reformatter = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: VideoFrame, stream: VideoStream) -> np.ndarray:
        # Reading side data creates a reference cycle that keeps a frame in memory: read it from a tiny copy.
        tiny = self.tiny_reformatter.reformat(
            frame, width=16, height=16, format="gray", interpolation=COARSE, threads=1
        )
        quarter_turns, is_mirrored = orientation(tiny)
        aspect = float(stream.sample_aspect_ratio or 1)  # width over height of one pixel
        if frame.interlaced_frame and frame.height >= 4:
            # Use one of the two fields: they show different moments.
            frame, aspect = apply_filters(frame, ("field", "top")), aspect / 2
        height, width = self._output_size(frame, aspect, quarter_turns)
        height, width = (width, height) if quarter_turns % 2 else (height, width)  # before the rotation
        ratio = frame.width * aspect * height / (frame.height * width)
        if not 0.25 < ratio < 4:
            # Crop very long frames before scaling, which could need an unlimited amount of memory.
            w = min(frame.width, math.ceil(frame.width / ratio) + 1)
            h = min(frame.height, math.ceil(frame.height * ratio) + 1)
            frame = apply_filters(frame, ("crop", f"{w}:{h}:exact=1"))
        scale = max(height / frame.height, width / (frame.width * aspect))
        h, w = max(height, round(frame.height * scale)), max(width, round(frame.width * aspect * scale))
        picture = self.reformatter.reformat(
            frame,
            width=w,
            height=h,
            format="rgb24",
            src_colorspace=Colorspace.ITU709 if is_hd_without_colorspace(frame) else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=(SHRINK if w < frame.width and h < frame.height else GROW) | EXACT,
            threads=1,
        ).to_ndarray()
        y, x = (h - height) // 2, (w - width) // 2
        picture = picture[y : y + height, x : x + width]
        return np.rot90(picture[:, ::-1] if is_mirrored else picture, quarter_turns)

    def _output_size(self, frame: VideoFrame, aspect: float, quarter_turns: int) -> tuple[int, int]:
        """Return (height, width) of the rotated picture. aspect: width over height of a pixel."""
        if self.width is not None:
            return self.height, self.width
        height, width = float(frame.height), frame.width * aspect
        if quarter_turns % 2:
            height, width = width, height
        scale = min(1.0, self.height / height, MAX_ASPECT * self.height / width)
        return max(round(height * scale), 1), max(round(width * scale), 1)


def is_hd_without_colorspace(frame: VideoFrame) -> bool:
    """Return whether a YUV frame without a colorspace means BT.709: players assume it from 720 lines on."""
    return frame.colorspace == 2 and frame.height >= 720 and not frame.format.is_rgb


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return the quarter turns counter-clockwise, and whether the frame is mirrored left to right before.

    From the display matrix (a, b, u, c, d, v, x, y, w), 16.16 fixed point, which maps (x, y) to
    (a x + c y, b x + d y); y points downwards.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, is_mirrored


def _side_data(frame: VideoFrame) -> Any:
    """Return the side data of a frame, without kinds that PyAV has no name for, such as EXIF."""
    try:
        return frame.side_data
    except ValueError:  # PyAV raises it for such kinds
        deletions = [("sidedata", f"mode=delete:type={kind}") for kind in UNNAMED_SIDE_DATA]
        return apply_filters(frame, *deletions).side_data


def apply_filters(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    """Return `frame` after filters of ffmpeg, each (name, arguments)."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, *(graph.add(*f) for f in filters), graph.add("buffersink")).configure()
    graph.push(frame)
    output: Any = graph.pull()
    return output
