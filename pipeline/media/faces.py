"""The step of the stage `faces`: the largest face in each of a clip's frames, cropped from the full picture.

The detector is OpenCV's Haar cascade (Viola and Jones, 2001), which comes with the package, or YuNet (Wu et
al., 2023) if `faces.model` is the path of its file.
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
from pipeline.media.files import SECONDS_COLUMN, Media
from pipeline.media.frame_converter import FrameConverter
from pipeline.media.frames import TIMES_COLUMN, extract_frames
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import OK, Outcome, failed

BOXES_COLUMN = ("boxes", pa.list_(pa.list_(pa.float64())))
FOUND_COLUMN = ("found", pa.list_(pa.bool_()))
ANGLES_COLUMN = ("angles", pa.list_(pa.float64()))
MAX_HEIGHT = 1080  # lines of a picture that a face is cropped from; larger pictures are scaled down
DETECTION_HEIGHT = 240  # pixels of the shorter side of the picture for the detector
MIN_FACE_SIZE = 0.15  # of a face, as a share of the picture's shorter side
SCALE_FACTOR = 1.15  # between the sizes that the cascade searches: 9 ms a frame, 14 ms with 1.1
SCORE_THRESHOLD = 0.7  # of YuNet
LOWER_PART = 0.45  # of a face, in which eyes are not searched
MAX_EYE_ANGLE = 30.0  # degrees of the line between two eyes; a pair with a steeper line is ignored


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    box: left, top, width, height as shares of the picture's size. angle: of the line between the eyes,
    degrees, positive if it falls to the right (clockwise); None if no eyes were detected.
    """

    box: tuple[float, float, float, float]
    angle: float | None = None


@dataclass(frozen=True)
class FacesStep:
    """(clips, Media) -> uint8 array (frames, size, size, 3), RGB.

    faces: the section of params.yaml. frames: number of pictures of a clip, spaced as in the stage `frames`;
    1 is the middle one. extra: seconds and times as of `frames`; for each frame `boxes` (left, top, width,
    height as shares of the picture's size), `found` (whether a face was detected in it) and `angles` (by
    which it was rotated, degrees; null: not rotated).

    A frame without a face is cropped where the nearest frame has a face. A clip without any face fails.
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
        columns = SECONDS_COLUMN, TIMES_COLUMN, BOXES_COLUMN, FOUND_COLUMN, ANGLES_COLUMN
        return Layout(Path("data/faces"), Arrays(self.shape, "uint8"), columns)

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        converter, detector = FrameConverter(MAX_HEIGHT), load_detector(self.faces.model)
        for clip, media in zip(clips, values, strict=True):
            outcome = extract_frames(clip, media, self.clip_seconds, self.frames, converter)
            yield self._crop_faces(outcome, detector) if outcome.status == OK else outcome

    def _crop_faces(self, outcome: Outcome, detector: "Haar | YuNet") -> Outcome:
        pictures = outcome.value
        faces = [largest_face(detector(picture)) for picture in pictures]
        with_face = [i for i, face in enumerate(faces) if face]
        if not with_face:
            where = f"any of {len(pictures)} frames" if len(pictures) > 1 else "the middle frame"
            return failed("no_face", f"no face in {where} ({detector.name})")
        value, boxes, angles = np.empty(self.shape, np.uint8), [], []
        for i, picture in enumerate(pictures):
            face = faces[min(with_face, key=lambda k: abs(k - i))]  # at equal distances, the earlier one
            assert face is not None
            if self.faces.align and face.angle is None:
                face = Face(face.box, detector.angle(picture, face.box))
            angle = face.angle if self.faces.align else None
            value[i] = cut_face(picture, face.box, self.faces.size, self.faces.margin, angle or 0.0)
            boxes.append(list(face.box))
            angles.append(angle)
        extra = {"boxes": boxes, "found": [face is not None for face in faces], "angles": angles}
        return Outcome(value=value, extra=outcome.extra | extra)


def crop_largest_face(picture: np.ndarray, faces: Any) -> np.ndarray | None:
    """Return the largest face of a picture (H, W, 3) uint8 RGB as (size, size, 3), or None without a face.

    faces: the section of params.yaml. Raises UserError if faces.model is not a valid model.
    """
    detector = load_detector(faces.model)
    face = largest_face(detector(picture))
    if face is None:
        return None
    angle = None
    if faces.align:
        angle = face.angle if face.angle is not None else detector.angle(picture, face.box)
    return cut_face(picture, face.box, faces.size, faces.margin, angle or 0.0)


def largest_face(faces: list[Face]) -> Face | None:
    """Return the face with the largest box, the first one of several; None for an empty list."""
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


def cut_face(
    picture: np.ndarray, box: tuple[float, ...], size: int, margin: float, angle: float = 0.0
) -> np.ndarray:
    """Return a square (size, size, 3) around a box, rotated counter-clockwise by `angle` degrees.

    box: as shares of the picture's size. margin: on each side, as a share of the box's longer side. The
    rotation makes a line level that falls to the right by `angle`. Outside the picture, its border is
    repeated.
    """
    height, width = picture.shape[:2]
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(w, h) * (1 + 2 * margin)
    scale = size / side
    if scale < 1:  # `warpAffine` does not average pixels: scale down before
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale_x, scale_y = picture.shape[1] / width, picture.shape[0] / height
        x, y, w, h, scale = x * scale_x, y * scale_y, w * scale_x, h * scale_y, 1.0
    centre = x + w / 2 - 0.5, y + h / 2 - 0.5  # the centre of a pixel has integer coordinates
    matrix: np.ndarray = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += (size - 1) / 2 - np.array(centre)
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


# --- detectors ------------------------------------------------------------------------------------------


@functools.cache
def load_detector(model: str | None) -> "Haar | YuNet":
    """Return the detector for `faces.model`, once per process: OpenCV's detectors cannot be pickled.

    Raises UserError if the file is missing or not a YuNet model.
    """
    cv2.setNumThreads(1)  # the engine runs one process per core
    return Haar() if model is None else YuNet(model)


class Haar:
    """OpenCV's cascade for frontal faces."""

    name = "Haar cascade"

    def __init__(self) -> None:
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]  # missing in its stubs
        self.faces = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self.eyes = cv2.CascadeClassifier(str(folder / "haarcascade_eye.xml"))

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Return the faces of a picture (H, W, 3) uint8 RGB, in arbitrary order."""
        grey = cv2.cvtColor(_scale_down(picture), cv2.COLOR_RGB2GRAY)
        min_size = max(round(MIN_FACE_SIZE * min(grey.shape)), 24)
        boxes = self.faces.detectMultiScale(grey, SCALE_FACTOR, 5, minSize=(min_size, min_size))
        height, width = grey.shape
        size = np.array([width, height, width, height])
        return [Face(tuple((np.array(box) / size).tolist())) for box in sorted(map(tuple, boxes))]

    def angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """Return the angle of the line between the eyes, as of Face; None if no two eyes are detected."""
        height, width = picture.shape[:2]
        x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        part = picture[max(int(y), 0) : int(y + (1 - LOWER_PART) * h), max(int(x), 0) : int(x + w)]
        if not part.size:
            return None
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        min_size = max(int(w * 0.12), 8)
        boxes = self.eyes.detectMultiScale(grey, 1.05, 4, minSize=(min_size, min_size))
        eyes = [(ex + ew / 2, ey + eh / 2) for ex, ey, ew, eh in boxes]
        left_eyes = [e for e in eyes if e[0] < 0.46 * w]
        right_eyes = [e for e in eyes if e[0] > 0.54 * w]
        angles = [_line_angle(a, b) for a in sorted(left_eyes) for b in sorted(right_eyes)]
        return min((angle for angle in angles if abs(angle) <= MAX_EYE_ANGLE), key=abs, default=None)


class YuNet:
    """OpenCV's FaceDetectorYN, with the model in the file `path`."""

    name = "YuNet"

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise UserError(f"faces.model: {path}: no such file: use the path of YuNet's .onnx file, or null")
        try:
            self.net = cv2.FaceDetectorYN.create(path, "", (64, 64), SCORE_THRESHOLD)
            self.net.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as e:
            reason = " ".join(str(e).split())[:120]
            raise UserError(f"faces.model: {path}: not a YuNet model in ONNX ({reason})") from None

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Return the faces of a picture (H, W, 3) uint8 RGB, the highest score first."""
        small = _scale_down(picture)
        height, width = small.shape[:2]
        self.net.setInputSize((width, height))
        _, rows = self.net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        faces = []
        for x, y, w, h, *landmarks in rows if rows is not None else []:
            if min(w, h) < MIN_FACE_SIZE * min(height, width):
                continue
            # The first landmark is the person's right eye, which is on the left of the picture.
            angle = _line_angle(landmarks[0:2], landmarks[2:4])
            box = float(x / width), float(y / height), float(w / width), float(h / height)
            faces.append(Face(box, angle if abs(angle) <= MAX_EYE_ANGLE else None))
        return faces

    def angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """Return None: YuNet detects eyes together with the face only."""
        return None


def _scale_down(picture: np.ndarray) -> np.ndarray:
    """Return `picture`, scaled down if its shorter side has more than DETECTION_HEIGHT pixels."""
    scale = DETECTION_HEIGHT / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _line_angle(start: Any, end: Any) -> float:
    """Return the degrees by which the line from `start` to `end`, both (x, y), falls; y points downwards."""
    return math.degrees(math.atan2(float(end[1] - start[1]), float(end[0] - start[0])))
