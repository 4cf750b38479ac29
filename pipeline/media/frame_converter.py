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

SHRINK = Interpolation.AREA
GROW = Interpolation.BICUBIC
COARSE = Interpolation.POINT
# Without these flags, pictures are one or two levels too dark.
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
UNSPECIFIED_COLORSPACE = 2  # FFmpeg's AVCOL_SPC_UNSPECIFIED
MIN_HD_HEIGHT = 720  # lines from which players assume BT.709 if a file does not name a colorspace
MAX_ASPECT = 4  # width over height of a picture that is not cropped, at most
MAX_EXCESS = 4  # a frame that is longer than the picture by this factor is cropped before it is scaled
UNNAMED_SIDE_DATA = range(len(SideDataType), 64)  # values of AV_FRAME_DATA_... that PyAV has no names for


class FrameConverter:
    """Converts decoded frames to pictures (height, width, 3), uint8 RGB.

    With a width, a picture is scaled until it covers height x width, and what exceeds that is cropped evenly
    on both sides; if squeezed, it is scaled to height x width, whatever its aspect. Without a width, it is
    not cropped, and is scaled down to `height` lines if it has more.

    is_squeezed: whether pictures are squeezed and not cropped; only with a width.
    reformatter, tiny_reformatter: PyAV's converters for pictures and for tiny copies; each remembers its last
    sizes and formats, which makes the next frame cheap.
    """

    def __init__(self, height: int, width: int | None = None, is_squeezed: bool = False) -> None:
        self.height = height
        self.width = width
        self.is_squeezed = is_squeezed
        self.reformatter = VideoReformatter()
        self.tiny_reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame, stream: VideoStream) -> np.ndarray:
        """Return the picture of a frame: rotated, with square pixels. stream: of the frame."""
        # Reading side data creates a reference cycle that keeps a frame in memory: read it from a tiny copy.
        tiny_frame = self.tiny_reformatter.reformat(
            frame, width=16, height=16, format="gray", interpolation=COARSE, threads=1
        )
        quarter_turns, is_mirrored = orientation(tiny_frame)
        aspect = float(stream.sample_aspect_ratio or 1)  # width over height of one pixel
        if frame.interlaced_frame and frame.height >= 4:
            # Use one of the two fields: they show different moments. A field has half of the lines.
            frame = apply_filters(frame, ("field", "top"))
            aspect = aspect / 2
        height, width = self.output_size(frame.height, frame.width * aspect, quarter_turns)
        if quarter_turns % 2:  # the picture is rotated last: before, it lies on its side
            height, width = width, height
        aspect = self.fit_aspect(frame.height, frame.width, aspect, height, width)
        frame = _crop_long_frame(frame, aspect, height, width)
        picture = self._scale(frame, aspect, height, width)
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        picture = picture[top : top + height, left : left + width]
        return np.rot90(picture[:, ::-1] if is_mirrored else picture, quarter_turns)

    def _scale(self, frame: VideoFrame, aspect: float, height: int, width: int) -> np.ndarray:
        """Return a frame, scaled until it covers height x width, as (lines, columns, 3) uint8 RGB.

        aspect: width over height of a pixel of the frame.
        """
        scaled_height, scaled_width = covering_size(frame.height, frame.width, aspect, height, width)
        is_smaller = scaled_width < frame.width and scaled_height < frame.height
        return self.reformatter.reformat(
            frame,
            width=scaled_width,
            height=scaled_height,
            format="rgb24",
            src_colorspace=Colorspace.ITU709 if is_hd_without_colorspace(frame) else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=(SHRINK if is_smaller else GROW) | EXACT,
            threads=1,
        ).to_ndarray()

    def fit_aspect(
        self, frame_height: int, frame_width: int, aspect: float, height: int, width: int
    ) -> float:
        """Return the aspect of a pixel of a frame with which it is scaled to a picture of height x width.

        aspect: what it is, width over height. If squeezed, the one with which nothing is to be cropped.
        """
        return width * frame_height / (height * frame_width) if self.is_squeezed else aspect

    def output_size(self, height: float, width: float, quarter_turns: int = 0) -> tuple[int, int]:
        """Return (height, width) of the picture of a frame after it is rotated by `quarter_turns`.

        height, width: of the frame with square pixels, before it is rotated.
        """
        if self.width is not None:
            return self.height, self.width
        height = float(height)
        if quarter_turns % 2:
            height, width = width, height
        scale = min(1.0, self.height / height, MAX_ASPECT * self.height / width)
        return max(round(height * scale), 1), max(round(width * scale), 1)


def covering_size(
    frame_height: int, frame_width: int, aspect: float, height: int, width: int
) -> tuple[int, int]:
    """Return (height, width) to which a frame is scaled so that it covers a picture of height x width.

    aspect: width over height of a pixel of the frame.
    """
    scale = max(height / frame_height, width / (frame_width * aspect))
    return max(height, round(frame_height * scale)), max(width, round(frame_width * aspect * scale))


def crop_size(
    frame_height: int, frame_width: int, aspect: float, height: int, width: int
) -> tuple[int, int] | None:
    """Return the (height, width) to which a frame is cropped that is much longer than a picture; else None.

    Otherwise, scaling it could need an unlimited amount of memory. aspect: width over height of a pixel.
    height, width: of the picture.
    """
    excess = frame_width * aspect * height / (frame_height * width)  # of the width; below 1: of the height
    if 1 / MAX_EXCESS < excess < MAX_EXCESS:
        return None
    new_width = min(frame_width, math.ceil(frame_width / excess) + 1)
    new_height = min(frame_height, math.ceil(frame_height * excess) + 1)
    return new_height, new_width


def _crop_long_frame(frame: VideoFrame, aspect: float, height: int, width: int) -> VideoFrame:
    """Return a frame, cropped if it is much longer than a picture of height x width.

    aspect: width over height of a pixel.
    """
    size = crop_size(frame.height, frame.width, aspect, height, width)
    if size is None:
        return frame
    return apply_filters(frame, ("crop", f"{size[1]}:{size[0]}:exact=1"))


def is_hd_without_colorspace(frame: VideoFrame) -> bool:
    """Return whether a frame is YUV in high definition and does not name its colorspace.

    Players then assume BT.709.
    """
    has_no_colorspace = frame.colorspace == UNSPECIFIED_COLORSPACE
    return has_no_colorspace and frame.height >= MIN_HD_HEIGHT and not frame.format.is_rgb


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return how a player shows a frame: (quarter turns counter-clockwise, is it mirrored left to right).

    It is mirrored before it is turned.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    # FFmpeg's display matrix is (a, b, u, c, d, v, x, y, w), 16.16 fixed point. It maps (x, y) to
    # (a x + c y, b x + d y); y points downwards.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, is_mirrored


def _side_data(frame: VideoFrame) -> Any:
    """Return the side data of a frame (name -> data), without types that PyAV does not know, such as EXIF."""
    try:
        return frame.side_data
    except ValueError:  # PyAV raises it for such types
        deletions = [("sidedata", f"mode=delete:type={number}") for number in UNNAMED_SIDE_DATA]
        return apply_filters(frame, *deletions).side_data


def apply_filters(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    """Return `frame` after filters of ffmpeg have been applied in turn. Each is (name, arguments)."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, *(graph.add(*f) for f in filters), graph.add("buffersink")).configure()
    graph.push(frame)
    output: Any = graph.pull()
    return output
