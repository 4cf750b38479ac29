"""Boxes of objects in the frame, from the columns of the clip table."""

from collections.abc import Iterable

Box = list[float]  # left, top, right, bottom: fractions of the picture's width or height, 0 to 1
BoxPair = tuple[Box, Box | None]  # of the sounding object, and of the silent one if there is one


def frame_boxes(rows: Iterable[dict], height: int, width: int, fit: str = "crop") -> dict[str, BoxPair]:
    """Return clip_id -> (box of the sounding object, box of the silent object or None).

    rows: of a clip table with `box`, `silent_box`, `second_box` and `aspect`. Its boxes refer to the whole
    picture, of width / height `aspect`; the returned boxes refer to a stored frame of `height` x `width`
    pixels, which is cropped from the middle of the picture, or with `fit` "squeeze" is the whole picture.
    Clips without `box`, with two sounding objects, or whose box is outside the frame are left out.
    """
    boxes = {}
    for row in rows:
        if not row.get("box") or row.get("second_box"):
            continue
        aspect = row["aspect"] if fit == "crop" else width / height
        sounding, silent = (_crop(row[name], aspect, width / height) for name in ("box", "silent_box"))
        if sounding:
            boxes[row["clip_id"]] = (sounding, silent)
    return boxes


def _crop(box: Box | None, aspect: float, frame_aspect: float) -> Box | None:
    """Convert a box in a picture to a box in the frame that is cropped from the picture's middle.

    aspect, frame_aspect: width / height of the picture and of the frame. Returns None if there is no box, or
    if it is outside the frame.
    """
    if not box:
        return None
    # as fractions of the picture
    frame_width, frame_height = min(1, frame_aspect / aspect), min(1, aspect / frame_aspect)

    def to_frame(coordinate: float, frame_size: float) -> float:
        return min(max((coordinate - 0.5) / frame_size + 0.5, 0.0), 1.0)

    left, top, right, bottom = box
    x_min, x_max = to_frame(left, frame_width), to_frame(right, frame_width)
    y_min, y_max = to_frame(top, frame_height), to_frame(bottom, frame_height)
    return [x_min, y_min, x_max, y_max] if x_min < x_max and y_min < y_max else None
