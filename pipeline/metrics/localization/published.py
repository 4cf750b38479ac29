"""The published measure of localization on VGG-SS and Flickr-SoundNet, and of duets of MUSIC.

As the code of EZ-VSL computes it (arXiv 2203.09324; stoneMo/EZ-VSL at 95ff5bff30), which later work uses:

1. `fraction_truth` or `vote_truth`: the boxes of a picture as a map of SIZE x SIZE.
2. `finish_map`: the map of the sound, and that of an object detector if there is one, in that size.
3. `half_region`: half of the picture is predicted, whatever the map says.
4. `overlap` of the region with the truth; `overlaps.evaluate` computes cIoU and AUC from those.

The region knows that half of the picture is about the answer, and a map can never say that nothing is there.
So a blind guess, `half_region(regions.centre_map(SIZE))`, belongs beside each number: it reaches cIoU 34.0
and AUC 37.4 (%) on VGG-SS.
"""

from collections.abc import Iterable, Sequence

import numpy as np

SIZE = 224  # pixels: height and width of the maps that are compared
FLICKR_SIZE = 256  # of the pictures in which annotators drew the boxes of Flickr-SoundNet
VOTES = 2  # annotators of Flickr-SoundNet who must agree
SOUND_WEIGHT = 0.4  # of the sound's map, beside an object map
DUET_THRESHOLD = 0.3  # of cIoU, on MUSIC's duets


def fraction_truth(boxes: Iterable[Sequence[float]]) -> np.ndarray:
    """Return the truth of a picture of VGG-SS, (SIZE, SIZE) float32: 1 inside any box.

    boxes: left, top, right, bottom as fractions of the picture; parts outside of it are cut off.
    """
    pixels = [(np.clip(box, 0, 1) * SIZE).astype(int) for box in boxes]
    return np.minimum(_count(pixels), 1)


def vote_truth(boxes: Iterable[Sequence[float]]) -> np.ndarray:
    """Return the truth of a picture of Flickr-SoundNet, (SIZE, SIZE) float32: 1/2 inside one box, else 1.

    boxes: one for each annotator; left, top, right, bottom in pixels of a picture of FLICKR_SIZE.
    """
    pixels = [(SIZE * np.clip(box, 0, FLICKR_SIZE) / FLICKR_SIZE).astype(int) for box in boxes]
    return np.minimum(_count(pixels) / VOTES, 1)


def corners(box: Sequence[float]) -> list[float]:
    """Convert a box (x, y, width, height), as those of MUSIC are, to (left, top, right, bottom)."""
    x, y, width, height = box
    return [x, y, x + width, y + height]


def _count(boxes: Iterable[np.ndarray]) -> np.ndarray:
    """Return in how many boxes each pixel is, (SIZE, SIZE) float32. Right and lower edge are outside."""
    counts = np.zeros((SIZE, SIZE), np.float32)
    for left, top, right, bottom in boxes:
        counts[top:bottom, left:right] += 1
    return counts


def resize_map(values: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Resize a map (h, w) to (size, size), bilinearly, so that the corners keep their values.

    OpenCV has no such mode; equal values stay equal.
    """
    for axis in (0, 1):
        positions = np.linspace(0, values.shape[axis] - 1, size)
        before = positions.astype(int)
        after = np.minimum(before + 1, values.shape[axis] - 1)
        fraction = np.expand_dims(positions - before, 1 - axis)
        first = values.take(before, axis)
        values = first + (values.take(after, axis) - first) * fraction
    return values


def normalize_map(values: np.ndarray) -> np.ndarray:
    """Scale a map to 0..1 by its own minimum and maximum. A flat map stays as it is."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else values


def finish_map(
    sound_map: np.ndarray, object_map: np.ndarray | None = None, weight: float = SOUND_WEIGHT
) -> np.ndarray:
    """Return the map that is evaluated, (SIZE, SIZE), 0..1.

    sound_map: (h, w), large where the model locates the sound. object_map: (h, w) of any size, large where
    objects are, whether they sound or not; None: without. weight: of the sound's map, 0 to 1.
    """
    values = normalize_map(resize_map(sound_map))
    if object_map is None:
        return values
    return normalize_map(weight * values + (1 - weight) * normalize_map(resize_map(object_map)))


def half_region(values: np.ndarray) -> np.ndarray:
    """Return the mask of the largest half of a map; larger, if values are equal; all of it, if it is flat."""
    middle = values.size // 2
    return values >= np.partition(values, middle, axis=None)[middle]


def overlap(region: np.ndarray, truth: np.ndarray) -> float:
    """Return sum of `truth` in the region / (sum of `truth` + size of the region where `truth` is 0).

    region: mask. truth: 0 to 1, of the same shape. For a truth of 0 and 1 this is intersection over union.
    Returns 0 if both are empty.
    """
    union = truth.sum() + np.count_nonzero(region & (truth == 0))
    return float(truth[region].sum() / union) if union else 0.0


def duet_overlap(maps: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> float:
    """Return the overlap of a picture with several sources: the mean over sources, each with its own map.

    maps: one for each source, (SIZE, SIZE); a model that does not tell sources apart has the same map twice.
    boxes: of the sources, in the same order: x, y, width, height as fractions of the picture, as in the
    lists of AVGN (stoneMo/AVGN), whose own loader reads them as corners and so loses half of them.
    Source: the class-aware IoU of arXiv 2010.05466, with the region of EZ-VSL. The share of pictures with at
    least DUET_THRESHOLD is CIoU@0.3.
    """
    pairs = zip(maps, boxes, strict=True)
    return float(np.mean([overlap(half_region(m), fraction_truth([corners(box)])) for m, box in pairs]))
