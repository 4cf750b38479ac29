"""Sound source localization: how well maps point at the bounding box of the sounding object.

- `pointing`: the share of clips whose map has its maximum inside the box of the sounding object.
- `iou`: intersection over union of that box with the region of the map's largest values, whose area is the
  mean area of all boxes; the mean over clips.
- Baselines, with the same metrics: `centre` points at the middle of the frame, with a box of the mean size of
  all boxes; `silent` points at the visible instrument that does not sound, with its box.
- `two_in_view` is over the clips with such a silent instrument, `all` over all clips with a box.
- `ci` is a 95% percentile bootstrap over clips.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from pipeline.metrics.bootstrap import interval, number, resamples

GRID = 64  # regions are compared on a grid of GRID x GRID cells


Box = list[float]  # left, top, right, bottom, 0 to 1
BoxPair = tuple[Box, Box | None]  # of the sounding and of the silent object, if any


def frame_boxes(rows: Iterable[dict], height: int, width: int) -> dict[str, BoxPair]:
    """Return clip_id -> the boxes of the sounding and the silent object, in a stored frame of this size.

    rows: of a clip table. Clips without `box`, with two sounding objects, or whose box is outside the frame
    are left out. Boxes in the table refer to the whole picture, of width / height `aspect`; frames are
    cropped from its middle.
    """
    boxes = {}
    for row in rows:
        if not row.get("box") or row.get("second_box"):
            continue
        sounding, silent = (_crop(row[name], row["aspect"], width / height) for name in ("box", "silent_box"))
        if sounding:
            boxes[row["clip_id"]] = (sounding, silent)
    return boxes


def _crop(box: Box | None, aspect: float, frame_aspect: float) -> Box | None:
    """Return `box` of a picture relative to the frame cropped from its middle; None if it is outside."""
    if not box:
        return None
    frame_size = min(1, frame_aspect / aspect), min(1, aspect / frame_aspect)  # as shares of the picture
    x_min, y_min, x_max, y_max = (
        min(max((x - 0.5) / frame_size[i % 2] + 0.5, 0.0), 1.0) for i, x in enumerate(box)
    )
    return [x_min, y_min, x_max, y_max] if x_min < x_max and y_min < y_max else None


def evaluate(maps: np.ndarray, boxes: list[BoxPair], bootstrap: int, seed: int) -> dict:
    """Return all metrics; the top of this module defines them.

    maps: (n, h, w). boxes: n pairs, as in the values of `frame_boxes`. Returns {"all": part, "two_in_view":
    part}, a part {"pointing", "iou", "n", "ci": {name: [low, high]}, "centre": {"pointing", "iou", "n",
    "ci"}} and in `two_in_view` also "silent"; a part without clips is None.
    """
    has_silent = np.array([silent is not None for _, silent in boxes], bool)
    return {
        "all": _evaluate_part(maps, boxes, bootstrap, seed, silent=False),
        "two_in_view": _evaluate_part(
            maps[has_silent], [b for b in boxes if b[1]], bootstrap, seed, silent=True
        ),
    }


def _evaluate_part(
    maps: np.ndarray, boxes: list[BoxPair], bootstrap: int, seed: int, silent: bool
) -> dict | None:
    """Return the metrics of some clips and of the baselines. silent: whether to add the baseline `silent`."""
    if not len(boxes):
        return None
    truth = np.array([box for box, _ in boxes])
    size = np.mean(truth[:, 2:] - truth[:, :2], axis=0)
    centre_box = np.concatenate([0.5 - size / 2, 0.5 + size / 2])
    peaks = np.array([find_peak(m) for m in maps])
    area = float(np.mean((truth[:, 2:] - truth[:, :2]).prod(1)))
    predictions = {  # name -> points (n, 2) and masks
        "": (peaks, [peak_region(m, area) for m in maps]),
        "centre": (np.full((len(boxes), 2), 0.5), [box_mask(centre_box)] * len(boxes)),
    }
    if silent:
        silent_boxes = np.array([box for _, box in boxes])
        centres = (silent_boxes[:, :2] + silent_boxes[:, 2:]) / 2
        predictions["silent"] = (centres, [box_mask(box) for box in silent_boxes])
    weights = list(resamples(len(boxes), bootstrap, seed))
    part: dict = {}
    for name, (points, regions) in predictions.items():
        values = {
            "pointing": ((points >= truth[:, :2]) & (points <= truth[:, 2:])).all(1).astype(float),
            "iou": np.array([mask_iou(r, box_mask(b)) for r, b in zip(regions, truth, strict=True)]),
        }
        metrics: dict = {key: number(value.mean()) for key, value in values.items()} | {"n": len(boxes)}
        metrics["ci"] = {k: interval([w @ v / w.sum(1) for w in weights]) for k, v in values.items()}
        part |= {name: metrics} if name else metrics
    return part


def find_peak(values: np.ndarray) -> tuple[float, float]:
    """Return the centre (x, y), 0 to 1, of the cell in which a map (h, w) is largest."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    return (x + 0.5) / values.shape[1], (y + 0.5) / values.shape[0]


def peak_region(values: np.ndarray, area: float) -> np.ndarray:
    """Return the mask (GRID, GRID) of a map's largest values. area: their share of all cells, 0 to 1."""
    fine = cv2.resize(values.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    region = np.zeros(fine.size, bool)
    region[np.argsort(-fine, axis=None, kind="stable")[: round(area * fine.size)]] = True
    return region.reshape(fine.shape)


def box_mask(box: np.ndarray | Box) -> np.ndarray:
    """Return the mask (GRID, GRID) of the cells whose centre is in a box."""
    centres = (np.arange(GRID) + 0.5) / GRID
    x_min, y_min, x_max, y_max = box
    return ((centres >= y_min) & (centres <= y_max))[:, None] & ((centres >= x_min) & (centres <= x_max))


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two masks; 0 if both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))
