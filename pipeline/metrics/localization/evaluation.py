"""Sound source localization: how well maps point at the bounding box of the sounding object.

- `pointing`: the fraction of clips whose map has its maximum inside the box of the sounding object.
- `iou`: intersection over union of that box with the region of the map's largest values, whose area is the
  mean area of all boxes; the mean over clips. So it knows the mean size of the boxes, which is a part of the
  answer (arXiv 2410.01020): the measures in `negatives` do not.
- Baselines, with the same metrics: `centre` points at the middle of the frame, with a box of the mean size of
  all boxes; `object` takes another map, of where something is in view, whether it sounds or not; `silent`
  points at the visible instrument that does not sound, with its box.
- `two_in_view` is over the clips with such a silent instrument, `all` over all clips with a box.
- `ci` is a 95% percentile bootstrap over clips.
"""

import numpy as np

from pipeline.metrics.bootstrap import summarize_means
from pipeline.metrics.localization.boxes import BoxPair
from pipeline.metrics.localization.regions import box_mask, find_peak, mask_iou, peak_region


def evaluate(
    maps: np.ndarray,
    boxes: list[BoxPair],
    bootstrap: int,
    seed: int,
    object_maps: np.ndarray | None = None,
) -> dict:
    """Return the metrics of localization maps; the top of this module defines them.

    maps: (n, h, w), large where the model locates the sound. boxes: for each clip (box of the sounding
    object, box of the silent object or None), relative to the frame. bootstrap: number of resamples.
    object_maps: (n, h, w) of the baseline `object`; None: without it.
    Returns {"all": metrics of all clips, "two_in_view": metrics of the clips with a silent object}. Metrics
    are {"pointing", "iou", "n", "ci": {name: [low, high]}, "centre", "object": the same of these baselines},
    and in `two_in_view` also "silent"; None if there are no such clips.
    """
    two = [row for row, (_, silent) in enumerate(boxes) if silent is not None]
    two_objects = None if object_maps is None else object_maps[two]
    return {
        "all": _evaluate_clips(maps, boxes, bootstrap, seed, object_maps),
        "two_in_view": _evaluate_clips(
            maps[two], [boxes[row] for row in two], bootstrap, seed, two_objects, with_silent_baseline=True
        ),
    }


def _evaluate_clips(
    maps: np.ndarray,
    boxes: list[BoxPair],
    bootstrap: int,
    seed: int,
    object_maps: np.ndarray | None,
    with_silent_baseline: bool = False,
) -> dict | None:
    """Return the metrics of the maps of some clips, and of the baselines; None if there are no clips.

    maps: (n, h, w). boxes: n pairs (sounding, silent). object_maps: (n, h, w) or None.
    with_silent_baseline: whether to add the baseline that points at the silent object; every clip must have
    one then.
    """
    if not len(boxes):
        return None
    truth = np.array([sounding for sounding, _ in boxes])  # (n, 4)
    sizes = truth[:, 2:] - truth[:, :2]  # (n, 2) width and height
    mean_area = float(np.mean(sizes.prod(1)))
    resampling = bootstrap, seed

    def compare_maps(values: np.ndarray) -> dict:
        peaks = np.array([find_peak(m) for m in values])
        return _compare(peaks, [peak_region(m, mean_area) for m in values], truth, *resampling)

    metrics = compare_maps(maps)
    if object_maps is not None:
        metrics["object"] = compare_maps(object_maps)

    mean_size = np.mean(sizes, axis=0)
    centre_box = np.concatenate([0.5 - mean_size / 2, 0.5 + mean_size / 2])
    centres = np.full((len(boxes), 2), 0.5)
    metrics["centre"] = _compare(centres, [box_mask(centre_box)] * len(boxes), truth, *resampling)

    if with_silent_baseline:
        silent_boxes = np.array([silent for _, silent in boxes])
        silent_centres = (silent_boxes[:, :2] + silent_boxes[:, 2:]) / 2
        silent_regions = [box_mask(box) for box in silent_boxes]
        metrics["silent"] = _compare(silent_centres, silent_regions, truth, *resampling)
    return metrics


def _compare(
    points: np.ndarray, regions: list[np.ndarray], truth: np.ndarray, bootstrap: int, seed: int
) -> dict:
    """Return {"pointing", "iou", "n", "ci"} of predicted points and regions.

    points: (n, 2) x and y, 0 to 1. regions: n masks (GRID, GRID). truth: (n, 4) boxes of the sounding
    objects. bootstrap: number of resamples of the clips.
    """
    is_inside = (points >= truth[:, :2]) & (points <= truth[:, 2:])
    values = {
        "pointing": is_inside.all(1).astype(float),
        "iou": np.array([mask_iou(r, box_mask(box)) for r, box in zip(regions, truth, strict=True)]),
    }
    return summarize_means(values, None, bootstrap, seed)
