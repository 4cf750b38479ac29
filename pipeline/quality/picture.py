"""The step of the stage `video_quality`: what is wrong with a clip's picture, and what finds its copies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.quality import picture_hash
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome

MEASURES = {  # columns of the index
    "change": pa.float64(),
    "motion": pa.float64(),
    "black": pa.float64(),
    "letterbox": pa.float64(),
    "cuts": pa.int32(),
}
FOLDER = Path("data/video_quality")
MAX_DESCRIBED = 4  # frames of a clip by which copies are found
DARK = 30  # grey level of a black pixel, at most (of 255)
BLACK_SHARE = 0.98  # of the pixels of a black frame, or of a row of a bar, that are dark
MIN_BAR = 0.03  # height (width) of each of two bars, as a share of the picture's
GRID = 8  # the picture is divided into GRID x GRID parts for `motion`
MIN_CORRELATION = 0.55  # of two consecutive frames without a cut between them
MIN_DIFFERENCE = 22.0  # mean difference of the colours of two frames with a cut between them, of 255
THUMBNAIL = 16  # side of the small pictures in which cuts are looked for, pixels


@dataclass(frozen=True)
class VideoQualityStep:
    """The step of the stage `video_quality`: from frames to descriptions, uint8 (frames, bytes).

    n_frames: stored for each clip. At most MAX_DESCRIBED of them, evenly spaced, are described. An outcome
    has the MEASURES in its extra columns.
    """

    n_frames: int

    @property
    def layout(self) -> Layout:
        shape = (min(self.n_frames, MAX_DESCRIBED), picture_hash.BYTES)
        return Layout(FOLDER, Arrays(shape, "uint8"), tuple(MEASURES.items()))

    def __call__(self, clips: list[dict], values: list[np.ndarray]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. values: its frames (frames, height, width, 3) uint8."""
        count = min(self.n_frames, MAX_DESCRIBED)
        described = ((np.arange(count) + 0.5) * self.n_frames / count).astype(int)
        for frames in values:
            grey = to_grey(frames)
            rows, columns = find_content(grey)
            content = frames[:, rows, columns]
            yield Outcome(
                value=np.stack([picture_hash.describe(_crop_square(content[i])) for i in described]),
                extra=_measure_pictures(frames, grey, rows, columns),
            )


def measure_pictures(frames: np.ndarray) -> dict[str, Any]:
    """Return the MEASURES of frames, by their names. frames: RGB (frames, height, width, 3) uint8.

    change: mean difference between consecutive frames, 0..1; motion: that of the part of the picture (of 8 x
    8) that changes most. Both are None for a single frame. black: share of frames that are black. letterbox:
    share of the picture that is black bars at two opposite sides, in all frames. cuts: pairs of consecutive
    frames that show different pictures.
    """
    grey = to_grey(frames)
    return _measure_pictures(frames, grey, *find_content(grey))


def _measure_pictures(frames: np.ndarray, grey: np.ndarray, rows: slice, columns: slice) -> dict[str, Any]:
    """Return what `measure_pictures` does. grey: the frames. rows, columns: what is between black bars."""
    content = grey[0, rows, columns].size / grey[0].size
    change, motion = _measure_change(grey) if len(grey) > 1 else (None, None)
    return {
        "change": change,
        "motion": motion,
        "black": float(np.mean(_are_black(grey))),
        "letterbox": 1 - content,
        "cuts": _count_cuts(frames) if len(grey) > 1 else None,
    }


def to_grey(frames: np.ndarray) -> np.ndarray:
    """Return RGB frames (frames, height, width, 3) as grey ones, (frames, height, width) uint8."""
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def _are_black(grey: np.ndarray) -> np.ndarray:
    """Return which frames are black, (frames,) bool."""
    return np.mean(grey <= DARK, axis=(1, 2)) >= BLACK_SHARE


def find_content(grey: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and the columns of frames without black bars at the top and bottom, or left and right.

    grey: (frames, height, width) uint8. Frames that are black have no bars.
    """
    if np.all(_are_black(grey)):
        return slice(None), slice(None)
    is_dark = grey <= DARK
    return (
        _find_inside(np.all(np.mean(is_dark, axis=2) >= BLACK_SHARE, axis=0)),
        _find_inside(np.all(np.mean(is_dark, axis=1) >= BLACK_SHARE, axis=0)),
    )


def _find_inside(is_bar: np.ndarray) -> slice:
    """Return what is between two bars; all if there are not two. is_bar: of each row (or column), bool."""
    inside = np.flatnonzero(~is_bar)
    if not len(inside):
        return slice(None)
    first, end = int(inside[0]), int(inside[-1]) + 1
    shortest = max(1, MIN_BAR * len(is_bar))
    if first < shortest or len(is_bar) - end < shortest:
        return slice(None)
    return slice(first, end)


def _crop_square(picture: np.ndarray) -> np.ndarray:
    """Return the square in the middle of a picture (height, width, 3)."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _measure_change(grey: np.ndarray) -> tuple[float, float]:
    """Return the mean difference between consecutive frames, and that of the part that changes most, 0..1."""
    differences = np.mean([cv2.absdiff(a, b) for a, b in zip(grey, grey[1:], strict=False)], axis=0) / 255
    parts = cv2.resize(differences, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return float(differences.mean()), float(parts.max())


def _count_cuts(frames: np.ndarray) -> int:
    """Return how many pairs of consecutive frames show different pictures.

    frames: RGB (frames, height, width, 3). Two frames differ if both their colours and what is bright and
    what is dark differ: motion changes little of a small picture, and a flash does not change what it shows.
    """
    small = [cv2.resize(f, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for f in frames]
    colours = np.stack(small).astype(np.float32).reshape(len(frames), -1, 3)
    vectors = colours.mean(axis=2)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1)
    products = np.sum(vectors[1:] * vectors[:-1], axis=1)
    is_other = products < MIN_CORRELATION * lengths[1:] * lengths[:-1]
    differences = np.mean(np.abs(np.diff(colours, axis=0)), axis=(1, 2))
    return int(np.sum(is_other & (differences >= MIN_DIFFERENCE)))
