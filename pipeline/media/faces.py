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
from pipeline.media.decoders import PYAV
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
MIN_FACE_SIZE = 0.15  # of a face, as a fraction of the picture's shorter side
MIN_FACE_PIXELS = 24  # the smallest face that the cascade was trained for
SCALE_FACTOR = 1.15  # between the sizes that the cascade searches: 9 ms a frame, 14 ms with 1.1
EYE_SCALE_FACTOR = 1.05  # the same, for eyes
FACE_NEIGHBOURS, EYE_NEIGHBOURS = 5, 4  # detections at almost the same place that count as a face, as an eye
MIN_EYE_SIZE = 0.12  # of an eye, as a fraction of the face's width
SCORE_THRESHOLD = 0.7  # of YuNet
LOWER_PART = 0.45  # of a face, in which eyes are not searched
LEFT_END, RIGHT_START = 0.46, 0.54  # left and right eyes are before and after these fractions of the width
MAX_EYE_ANGLE = 30.0  # degrees of the line between two eyes; a pair with a steeper line is ignored


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    box: left, top, width, height as fractions of the picture's size. angle: of the line between the eyes,
    degrees, positive if it falls to the right (clockwise); None if no eyes were detected.
    """

    box: tuple[float, float, float, float]
    angle: float | None = None


@dataclass(frozen=True)
class FacesStep:
    """The step of the stage `faces`: from the media files of a clip to (frames, size, size, 3) uint8 RGB.

    faces: the section of params.yaml. clip_seconds: the maximum duration of the video. frames: number of
    pictures of a clip, each in the middle of an equal part of it. decoding: the section `media`.

    A frame without a face is cropped where the nearest frame has a face. A clip without any face fails.

    An outcome has in `extra`: `seconds`, the duration of the video; and for each frame `times` (when its
    display begins, s from the clip's start), `boxes` (left, top, width, height as fractions of the picture's
    size), `found` (whether a face was detected in it) and `angles` (by which it was rotated, degrees; None:
    not rotated).
    """

    faces: Any
    clip_seconds: float
    frames: int
    decoding: Any = PYAV

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, size, size, 3)."""
        return self.frames, self.faces.size, self.faces.size, 3

    @property
    def layout(self) -> Layout:
        columns = SECONDS_COLUMN, TIMES_COLUMN, BOXES_COLUMN, FOUND_COLUMN, ANGLES_COLUMN
        return Layout(Path("data/faces"), Arrays(self.shape, "uint8"), columns)

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their files."""
        converter, detector = FrameConverter(MAX_HEIGHT), load_detector(self.faces.model)
        for clip, media in zip(clips, values, strict=True):
            outcome = extract_frames(clip, media, self.clip_seconds, self.frames, converter, self.decoding)
            yield self._crop_faces(outcome, detector) if outcome.status == OK else outcome

    def _crop_faces(self, outcome: Outcome, detector: "Haar | YuNet") -> Outcome:
        """Return the faces in the pictures of a clip. outcome: of `extract_frames`, its value is a list."""
        pictures = outcome.value
        faces = [largest_face(detector(picture)) for picture in pictures]
        indices_with_face = [i for i, face in enumerate(faces) if face]
        if not indices_with_face:
            where = f"any of {len(pictures)} frames" if len(pictures) > 1 else "the middle frame"
            return failed("no_face", f"no face in {where} ({detector.name})")
        value = np.empty(self.shape, np.uint8)
        boxes, angles = [], []
        for i, picture in enumerate(pictures):
            # The nearest frame with a face; of two at the same distance, the earlier one.
            face = faces[min(indices_with_face, key=lambda index: abs(index - i))]
            assert face is not None
            angle = _alignment_angle(picture, face, detector) if self.faces.align else None
            value[i] = cut_face(picture, face.box, self.faces.size, self.faces.margin, angle or 0.0)
            boxes.append(list(face.box))
            angles.append(angle)
        extra = {"boxes": boxes, "found": [face is not None for face in faces], "angles": angles}
        return Outcome(value=value, extra=outcome.extra | extra)


def crop_largest_face(picture: np.ndarray, faces: Any) -> np.ndarray | None:
    """Return the largest face in a picture, (size, size, 3) uint8 RGB; None if there is no face.

    picture: (H, W, 3) uint8 RGB. faces: the section of params.yaml. Raises UserError if faces.model is not a
    valid model.
    """
    detector = load_detector(faces.model)
    face = largest_face(detector(picture))
    if face is None:
        return None
    angle = _alignment_angle(picture, face, detector) if faces.align else None
    return cut_face(picture, face.box, faces.size, faces.margin, angle or 0.0)


def _alignment_angle(picture: np.ndarray, face: Face, detector: "Haar | YuNet") -> float | None:
    """Return the angle of the line between the eyes, degrees, positive if it falls to the right.

    Return None if no two eyes are detected. picture: (H, W, 3) uint8 RGB, perhaps another frame than the one
    in which the face was detected.
    """
    return face.angle if face.angle is not None else detector.eye_angle(picture, face.box)


def largest_face(faces: list[Face]) -> Face | None:
    """Return the face with the largest box, the first one of several; None for an empty list."""
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


def cut_face(
    picture: np.ndarray, box: tuple[float, ...], size: int, margin: float, angle: float = 0.0
) -> np.ndarray:
    """Return a square (size, size, 3) uint8 RGB around a face, rotated so that its eyes are level.

    picture: (H, W, 3) uint8 RGB. box: left, top, width, height of the face as fractions of the picture's
    size. margin: added on each side, as a fraction of the box's longer side. angle: of the line between the
    eyes, degrees, positive if it falls to the right; the square is rotated counter-clockwise by it. Outside
    the picture, its border is repeated.
    """
    height, width = picture.shape[:2]
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height  # pixels
    side = max(w, h) * (1 + 2 * margin)
    scale = size / side
    if scale < 1:  # `warpAffine` does not average pixels: scale down before
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # Sizes are rounded to whole pixels, so the exact scales differ a little from `scale`.
        scale_x, scale_y = picture.shape[1] / width, picture.shape[0] / height
        x, y, w, h = x * scale_x, y * scale_y, w * scale_x, h * scale_y
        scale = 1.0
    centre = x + w / 2 - 0.5, y + h / 2 - 0.5  # the centre of a pixel has integer coordinates
    matrix: np.ndarray = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += (size - 1) / 2 - np.array(centre)  # moves the face's centre to the centre of the square
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


# --- detectors ------------------------------------------------------------------------------------------


@functools.cache
def load_detector(model: str | None) -> "Haar | YuNet":
    """Return the detector for `faces.model`: the path of YuNet's file, or None for the Haar cascade.

    Each process loads it once, since OpenCV's detectors cannot be sent to another process. Raises UserError
    if the file is missing or not a YuNet model.
    """
    cv2.setNumThreads(1)  # the engine runs one process per core
    return Haar() if model is None else YuNet(model)


class Haar:
    """OpenCV's Haar cascade for frontal faces. name: for messages. faces, eyes: the classifiers."""

    name = "Haar cascade"

    def __init__(self) -> None:
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]  # missing in its stubs
        self.faces = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self.eyes = cv2.CascadeClassifier(str(folder / "haarcascade_eye.xml"))

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Return the faces in a picture (H, W, 3) uint8 RGB, sorted by their boxes; without angles."""
        grey = cv2.cvtColor(_scale_down(picture), cv2.COLOR_RGB2GRAY)
        min_size = max(round(MIN_FACE_SIZE * min(grey.shape)), MIN_FACE_PIXELS)
        boxes = self.faces.detectMultiScale(grey, SCALE_FACTOR, FACE_NEIGHBOURS, minSize=(min_size, min_size))
        height, width = grey.shape
        size = np.array([width, height, width, height])
        return [Face(tuple((np.array(box) / size).tolist())) for box in sorted(map(tuple, boxes))]

    def eye_angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """Return the angle of the line between a face's eyes, degrees, positive if it falls to the right.

        Return None if no two eyes are detected. picture: (H, W, 3) uint8 RGB. box: left, top, width, height
        of the face as fractions of the picture's size.
        """
        height, width = picture.shape[:2]
        x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        upper_part = picture[max(int(y), 0) : int(y + (1 - LOWER_PART) * h), max(int(x), 0) : int(x + w)]
        if not upper_part.size:
            return None
        grey = cv2.cvtColor(upper_part, cv2.COLOR_RGB2GRAY)
        min_size = max(int(w * MIN_EYE_SIZE), 8)
        boxes = self.eyes.detectMultiScale(
            grey, EYE_SCALE_FACTOR, EYE_NEIGHBOURS, minSize=(min_size, min_size)
        )
        eyes = sorted((ex + ew / 2, ey + eh / 2) for ex, ey, ew, eh in boxes)  # their centres
        left_eyes = [(ex, ey) for ex, ey in eyes if ex < LEFT_END * w]
        right_eyes = [(ex, ey) for ex, ey in eyes if ex > RIGHT_START * w]
        angles = [_line_angle(left_eye, right_eye) for left_eye in left_eyes for right_eye in right_eyes]
        return min((angle for angle in angles if abs(angle) <= MAX_EYE_ANGLE), key=abs, default=None)


class YuNet:
    """OpenCV's FaceDetectorYN with YuNet's model. name: for messages. net: the detector.

    path: of the model's .onnx file. Raises UserError if it is missing or another file.
    """

    name = "YuNet"

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise UserError(f"faces.model: {path}: no such file: use the path of YuNet's .onnx file, or null")
        try:
            self.net = cv2.FaceDetectorYN.create(path, "", (64, 64), SCORE_THRESHOLD)
            self.net.detect(np.zeros((64, 64, 3), np.uint8))  # another network fails here
        except cv2.error as e:
            reason = " ".join(str(e).split())[:120]
            raise UserError(f"faces.model: {path}: not a YuNet model in ONNX ({reason})") from None

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """Return the faces in a picture (H, W, 3) uint8 RGB, with angles, the highest score first."""
        small_picture = _scale_down(picture)
        height, width = small_picture.shape[:2]
        self.net.setInputSize((width, height))
        _, detections = self.net.detect(cv2.cvtColor(small_picture, cv2.COLOR_RGB2BGR))
        faces = []
        for x, y, w, h, *landmarks in detections if detections is not None else []:
            if min(w, h) < MIN_FACE_SIZE * min(height, width):
                continue
            # The first landmark is the person's right eye, which is on the left of the picture.
            angle = _line_angle(landmarks[0:2], landmarks[2:4])
            box = float(x / width), float(y / height), float(w / width), float(h / height)
            faces.append(Face(box, angle if abs(angle) <= MAX_EYE_ANGLE else None))
        return faces

    def eye_angle(self, picture: np.ndarray, box: tuple[float, ...]) -> float | None:
        """Return None: YuNet cannot detect the eyes of a face that it did not detect itself."""
        return None


def _scale_down(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3), scaled down if its shorter side has more than DETECTION_HEIGHT pixels."""
    scale = DETECTION_HEIGHT / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _line_angle(start: Any, end: Any) -> float:
    """Return the angle of the line between two points (x, y), degrees, positive if it falls to the right."""
    (start_x, start_y), (end_x, end_y) = start, end
    return math.degrees(math.atan2(float(end_y - start_y), float(end_x - start_x)))
