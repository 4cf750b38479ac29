"""Sound source localization: how well maps point at the bounding box of the sounding object.

- `pointing`: the fraction of clips whose map has its maximum inside the box of the sounding object.
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

from pipeline.metrics.bootstrap import percentile_interval, resample_groups, round_finite

GRID = 64  # regions are compared on a grid of GRID x GRID cells

Box = list[float]  # left, top, right, bottom: fractions of the picture's width or height, 0 to 1
BoxPair = tuple[Box, Box | None]  # of the sounding object, and of the silent one if there is one


def frame_boxes(rows: Iterable[dict], height: int, width: int) -> dict[str, BoxPair]:
    """Return clip_id -> (box of the sounding object, box of the silent object or None).

    rows: of a clip table with `box`, `silent_box`, `second_box` and `aspect`. Its boxes refer to the whole
    picture, of width / height `aspect`; the returned boxes refer to a stored frame of `height` x `width`
    pixels, which is cropped from the middle of the picture.
    Clips without `box`, with two sounding objects, or whose box is outside the frame are left out.
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


def evaluate(maps: np.ndarray, boxes: list[BoxPair], bootstrap: int, seed: int) -> dict:
    """Return the metrics of localization maps; the top of this module defines them.

    maps: (n, h, w), large where the model locates the sound. boxes: for each clip (box of the sounding
    object, box of the silent object or None), relative to the frame. bootstrap: number of resamples.
    Returns {"all": metrics of all clips, "two_in_view": metrics of the clips with a silent object}. Metrics
    are {"pointing", "iou", "n", "ci": {name: [low, high]}, "centre": the same of this baseline}, and in
    `two_in_view` also "silent"; None if there are no such clips.
    """
    has_silent = np.array([silent is not None for _, silent in boxes], bool)
    silent_boxes = [pair for pair in boxes if pair[1]]
    return {
        "all": _evaluate_clips(maps, boxes, bootstrap, seed),
        "two_in_view": _evaluate_clips(
            maps[has_silent], silent_boxes, bootstrap, seed, with_silent_baseline=True
        ),
    }


def _evaluate_clips(
    maps: np.ndarray, boxes: list[BoxPair], bootstrap: int, seed: int, with_silent_baseline: bool = False
) -> dict | None:
    """Return the metrics of the maps of some clips, and of the baselines; None if there are no clips.

    maps: (n, h, w). boxes: n pairs (sounding, silent). with_silent_baseline: whether to add the baseline that
    points at the silent object; every clip must have one then.
    """
    if not len(boxes):
        return None
    truth = np.array([sounding for sounding, _ in boxes])  # (n, 4)
    sizes = truth[:, 2:] - truth[:, :2]  # (n, 2) width and height
    mean_area = float(np.mean(sizes.prod(1)))
    peaks = np.array([find_peak(m) for m in maps])
    regions = [peak_region(m, mean_area) for m in maps]
    weights = list(resample_groups(len(boxes), bootstrap, seed))  # each clip is a group
    metrics = _compare(peaks, regions, truth, weights)

    mean_size = np.mean(sizes, axis=0)
    centre_box = np.concatenate([0.5 - mean_size / 2, 0.5 + mean_size / 2])
    centres = np.full((len(boxes), 2), 0.5)
    metrics["centre"] = _compare(centres, [box_mask(centre_box)] * len(boxes), truth, weights)

    if with_silent_baseline:
        silent_boxes = np.array([silent for _, silent in boxes])
        silent_centres = (silent_boxes[:, :2] + silent_boxes[:, 2:]) / 2
        silent_regions = [box_mask(box) for box in silent_boxes]
        metrics["silent"] = _compare(silent_centres, silent_regions, truth, weights)
    return metrics


def _compare(
    points: np.ndarray, regions: list[np.ndarray], truth: np.ndarray, weights: list[np.ndarray]
) -> dict:
    """Return {"pointing", "iou", "n", "ci"} of predicted points and regions.

    points: (n, 2) x and y, 0 to 1. regions: n masks (GRID, GRID). truth: (n, 4) boxes of the sounding
    objects. weights: of the clips in the resamples, blocks (b, n).
    """
    is_inside = (points >= truth[:, :2]) & (points <= truth[:, 2:])
    values = {
        "pointing": is_inside.all(1).astype(float),
        "iou": np.array([mask_iou(r, box_mask(box)) for r, box in zip(regions, truth, strict=True)]),
    }
    metrics: dict = {name: round_finite(v.mean()) for name, v in values.items()}
    metrics["n"] = len(truth)
    metrics["ci"] = {
        name: percentile_interval([w @ v / w.sum(1) for w in weights]) for name, v in values.items()
    }
    return metrics


def find_peak(values: np.ndarray) -> tuple[float, float]:
    """Return the centre (x, y), 0 to 1, of the cell in which a map (h, w) is largest."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    return (x + 0.5) / values.shape[1], (y + 0.5) / values.shape[0]


def peak_region(values: np.ndarray, area: float) -> np.ndarray:
    """Return the mask (GRID, GRID) of the region in which a map (h, w) has its largest values.

    area: of the region, as a fraction of the picture, 0 to 1.
    """
    resized = cv2.resize(values.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    largest = np.argsort(-resized, axis=None, kind="stable")[: round(area * resized.size)]
    region = np.zeros(resized.size, bool)
    region[largest] = True
    return region.reshape(resized.shape)


def box_mask(box: np.ndarray | Box) -> np.ndarray:
    """Return the mask (GRID, GRID) of the cells whose centre is in a box (left, top, right, bottom)."""
    centres = (np.arange(GRID) + 0.5) / GRID
    x_min, y_min, x_max, y_max = box
    return ((centres >= y_min) & (centres <= y_max))[:, None] & ((centres >= x_min) & (centres <= x_max))


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two masks; 0 if both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))
