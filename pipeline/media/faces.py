"""The step of the stage `faces`: the largest face of a clip's frames, cut out of the picture at its own size.

Faces are found by OpenCV's Haar cascade (Viola and Jones, 2001), which comes with the package, or by YuNet
(Wu et al., 2023) where `faces.model` names its file.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.errors import UserError
from pipeline.media.files import SECONDS, Media
from pipeline.media.frames import TIMES, evenly
from pipeline.media.painter import Painter
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import OK, Outcome, failed

BOXES = ("boxes", pa.list_(pa.list_(pa.float64())))
FOUND = ("found", pa.list_(pa.bool_()))
ANGLES = ("angles", pa.list_(pa.float64()))
LARGEST = 1080  # lines of a picture that a face is cut from; larger ones are made smaller
LINES = 240  # lines of the copy in which faces are looked for
SMALLEST = 0.15  # of the picture's shorter side: smaller faces are not looked for
STEP = 1.15  # from one size that is looked for to the next: 9 ms a frame, where 1.1 takes 14
SURE = 0.7  # YuNet's score from which it is a face
TOP = 0.45  # eyes are looked for in the upper half, and a little less, of a face
STEEPEST = 30.0  # degrees: eyes that stand steeper are none


@dataclass(frozen=True)
class Face:
    """box: left, top, width, height in parts of the picture. angle: by which the line of the eyes falls to
    the right, degrees, turning clockwise; None where the eyes were not found."""

    box: tuple[float, float, float, float]
    angle: float | None = None


@dataclass(frozen=True)
class FacesStep:
    """(clips, Media) -> uint8 array (frames, size, size, 3), RGB.

    faces: the section of params.yaml. frames: how many pictures of a clip, 1 is the middle one, spaced as the
    stage `frames` does. extra: seconds and times as of `frames`; for each frame `boxes` (left, top, width,
    height in parts of the picture), `found` (whether a face was found in it) and `angles` (by which it was
    turned, degrees; null: not turned).

    A frame without a face shows the place where the nearest frame has one; a clip without any fails.
    """

    faces: Any
    clip_seconds: float
    frames: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, size, size, 3)."""
        return self.frames, self.faces.size, self.faces.size, 3

    @property
    def layout(self) -> Layout:
        columns = SECONDS, TIMES, BOXES, FOUND, ANGLES
        return Layout(Path("data/faces"), Arrays(self.shape, "uint8"), columns)

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        painter, detector = Painter(LARGEST), detector_of(self.faces.model)
        for clip, media in zip(clips, values, strict=True):
            outcome = evenly(clip, media, self.clip_seconds, self.frames, painter)
            yield self._cut(outcome, detector) if outcome.status == OK else outcome

    def _cut(self, outcome: Outcome, detector: "Haar | YuNet") -> Outcome:
        pictures = outcome.value
        found = [largest(detector(picture)) for picture in pictures]
        there = [i for i, face in enumerate(found) if face]
        if not there:
            many = f"any of {len(pictures)} frames" if len(pictures) > 1 else "the middle frame"
            return failed("no_face", f"no face in {many} ({detector.name})")
        value, boxes, angles = np.empty(self.shape, np.uint8), [], []
        for i, picture in enumerate(pictures):
            face = found[min(there, key=lambda k: abs(k - i))]  # of two as near, the one before
            assert face is not None
            if self.faces.align and face.angle is None:
                face = Face(face.box, detector.angle(picture, face.box))
            angle = face.angle if self.faces.align else None
            value[i] = cut(picture, face.box, self.faces.size, self.faces.margin, angle or 0.0)
            boxes.append(list(face.box))
            angles.append(angle)
        extra = {"boxes": boxes, "found": [face is not None for face in found], "angles": angles}
        return Outcome(value=value, extra=outcome.extra | extra)


def crop(picture: np.ndarray, faces: Any) -> np.ndarray | None:
    """The largest face of a picture (H, W, 3) uint8 RGB as (size, size, 3), or None where there is none.

    faces: the section of params.yaml. Raises UserError where faces.model is no model.
    """
    detector = detector_of(faces.model)
    face = largest(detector(picture))
    if face is None:
        return None
    angle = None
    if faces.align:
        angle = face.angle if face.angle is not None else detector.angle(picture, face.box)
    return cut(picture, face.box, faces.size, faces.margin, angle or 0.0)


def largest(faces: list[Face]) -> Face | None:
    """Of several as large, the first."""
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


def cut(
    picture: np.ndarray, box: tuple[float, ...], size: int, margin: float, angle: float = 0.0
) -> np.ndarray:
    """A square around a box (parts of the picture) with `margin` of its longer side on each side, as
    (size, size, 3); turned counter-clockwise by `angle` degrees, so that a line that falls by it is level.

    What lies beyond the picture repeats its border.
    """
    height, width = picture.shape[:2]
    left, top, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(w, h) * (1 + 2 * margin)
    scale = size / side
    if scale < 1:  # warping takes single pixels: what is made smaller is averaged first
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = picture.shape[1] / width, picture.shape[0] / height
        left, top, w, h, scale = left * x, top * y, w * x, h * y, 1.0
    centre = left + w / 2 - 0.5, top + h / 2 - 0.5  # pixels are at whole numbers
    where: np.ndarray = cv2.getRotationMatrix2D(centre, angle, scale)
    where[:, 2] += (size - 1) / 2 - np.array(centre)
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(picture, where, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


# --- detectors ------------------------------------------------------------------------------------------


@functools.cache
def detector_of(model: str | None) -> "Haar | YuNet":
    """The detector that `faces.model` names: one for each process, since OpenCV's cannot be sent to another.

    Raises UserError where the file is not there, or is no YuNet.
    """
    cv2.setNumThreads(1)  # the engine has a process for each core
    return Haar() if model is None else YuNet(model)


class Haar:
    """OpenCV's cascade for faces from the front."""

    name = "Haar cascade"

    def __init__(self) -> None:
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]  # its stubs leave it out
        self.faces = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self.eyes = cv2.CascadeClassifier(str(folder / "haarcascade_eye.xml"))

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8 RGB, in no order."""
        grey = cv2.cvtColor(_smaller(picture), cv2.COLOR_RGB2GRAY)
        least = max(round(SMALLEST * min(grey.shape)), 24)
        found = sorted(map(tuple, self.faces.detectMultiScale(grey, STEP, 5, minSize=(least, least))))
        lines, columns = grey.shape
        parts = np.array([columns, lines, columns, lines])
        return [Face(tuple((np.array(box) / parts).tolist())) for box in found]

    def angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """By how much the line of the eyes falls to the right; None where no two eyes are found."""
        height, width = picture.shape[:2]
        x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        part = picture[max(int(y), 0) : int(y + (1 - TOP) * h), max(int(x), 0) : int(x + w)]
        if not part.size:
            return None
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        least = max(int(w * 0.12), 8)
        found = self.eyes.detectMultiScale(grey, 1.05, 4, minSize=(least, least))
        eyes = [(ex + ew / 2, ey + eh / 2) for ex, ey, ew, eh in found]
        left = [e for e in eyes if e[0] < 0.46 * w]
        right = [e for e in eyes if e[0] > 0.54 * w]
        falls = [_falls(a, b) for a in sorted(left) for b in sorted(right)]
        return min((fall for fall in falls if abs(fall) <= STEEPEST), key=abs, default=None)


class YuNet:
    """OpenCV's FaceDetectorYN, with the model in the file `path`."""

    name = "YuNet"

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise UserError(f"faces.model: {path}: no such file: name YuNet's .onnx, or use null")
        try:
            self.net = cv2.FaceDetectorYN.create(path, "", (64, 64), SURE)
            self.net.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as e:
            reason = " ".join(str(e).split())[:120]
            raise UserError(f"faces.model: {path}: not a YuNet model in ONNX ({reason})") from None

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8 RGB, surest first."""
        small = _smaller(picture)
        height, width = small.shape[:2]
        self.net.setInputSize((width, height))
        _, rows = self.net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        faces = []
        for x, y, w, h, *marks in rows if rows is not None else []:
            if min(w, h) < SMALLEST * min(height, width):
                continue
            # The person's right eye, which is on the left of the picture, comes first.
            angle = _falls(marks[0:2], marks[2:4])
            box = float(x / width), float(y / height), float(w / width), float(h / height)
            faces.append(Face(box, angle if abs(angle) <= STEEPEST else None))
        return faces

    def angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """Nothing beyond what it found with the face."""
        return None


def _smaller(picture: np.ndarray) -> np.ndarray:
    """`picture` with its shorter side LINES at most."""
    scale = LINES / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _falls(left: Any, right: Any) -> float:
    """Degrees by which the line from `left` to `right` falls (y counts downwards)."""
    return math.degrees(math.atan2(float(right[1] - left[1]), float(right[0] - left[0])))
