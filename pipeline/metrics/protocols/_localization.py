"""Localization as EZ-VSL measures it: does half of the picture, where the map is largest, cover the object?

- `sound`: by the map of the model. `sound_and_object`: mixed with an object map, 0.4 to 0.6 as published, if
  the model has one; it comes from the model's own picture network, and not from one for ImageNet. `object`:
  by that map alone.
- `ciou`: the fraction of pictures whose overlap is at least the threshold; `auc`: under the fraction over
  thresholds of 0, 0.05 … 1; `overlap`: its mean. pipeline/metrics/localization/published.py defines them.
- `chance`: a disc in the middle that covers half of the picture.

The truth is of the whole picture, squeezed to a square. So should be the frames (`video.fit: squeeze`).
Frames that are cropped from the middle are placed in the picture by the column `aspect` of the clip table:
outside of them, the map has its lowest value.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.metrics.bootstrap import round_finite
from pipeline.metrics.localization import overlaps
from pipeline.metrics.localization.published import SIZE, finish_map, half_region, overlap
from pipeline.metrics.localization.regions import centre_map
from pipeline.metrics.protocols._base import MAPS, Maps, Options, Protocol, Subset

MIN_FRACTION = 0.05  # of the picture that a frame shows at least, in width and height
Truth = list[np.ndarray]  # maps (SIZE, SIZE), one for each annotated picture of a clip


class Localization(Protocol):
    """Localization on boxes. A subclass defines `draw`; `threshold`, `measures` and `source` are EZ-VSL's."""

    needs = MAPS
    threshold = 0.5  # of cIoU
    measures = "cIoU (overlap of at least .5), AUC"
    source = "EZ-VSL, arXiv 2203.09324; stoneMo/EZ-VSL"
    blind_guess = "a disc in the middle that covers half of the picture"

    @abstractmethod
    def draw(self, truth: Any) -> list[Truth]:
        """Return for each annotated picture of a clip the maps of its sources, (SIZE, SIZE), 0 to 1.

        truth: of the Listing, or `own_truth`.
        """

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether the clip table has a box of the sounding object."""
        return bool(row.get("box"))

    def evaluate(self, outputs: Maps, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute cIoU and AUC of each kind of map, and of the blind guess."""
        pictures = [(clip, truths) for clip, truth in enumerate(subset.truth) for truths in self.draw(truth)]
        groups = [subset.groups[clip] for clip, _ in pictures]
        kinds: dict[str, list[float]] = {"sound": []}
        if outputs.object_values is not None:
            kinds |= {"sound_and_object": [], "object": []}
        blind = half_region(centre_map(SIZE))
        blind_overlaps = [_mean_overlap(blind, truths) for _, truths in pictures]
        for clip, truths in pictures:
            ratio = self._crop_ratio(outputs, subset, clip)
            sound = place_map(outputs.values[clip], ratio)
            kinds["sound"].append(_mean_overlap(half_region(finish_map(sound)), truths))
            if outputs.object_values is not None:
                objects = place_map(outputs.object_values[clip], ratio)
                mixed = finish_map(sound, objects)
                kinds["sound_and_object"].append(_mean_overlap(half_region(mixed), truths))
                kinds["object"].append(_mean_overlap(half_region(finish_map(objects)), truths))
        settings = options.bootstrap, options.seed, groups, self.threshold
        chance = overlaps.evaluate(np.array(blind_overlaps), 0, *settings[1:])
        chance = {name: chance[name] for name in ("ciou", "auc", "overlap")}
        result: dict[str, Any] = {"n": len(pictures), "threshold": round_finite(self.threshold)}
        for kind, values in kinds.items():
            result[kind] = overlaps.evaluate(np.array(values), *settings) | {"chance": chance}
        return result

    def _crop_ratio(self, outputs: Maps, subset: Subset, clip: int) -> float:
        """Return the aspect of the frame over that of the picture; 1: the frame is the whole picture.

        Raises UserError if the frame is cropped and the aspect of the picture is not known.
        """
        if outputs.frame_aspect is None:
            return 1.0
        aspect = subset.rows[clip].get("aspect")
        if not isinstance(aspect, int | float) or not 0 < aspect < np.inf:
            raise UserError(
                f"evaluate.protocols: clip {subset.ids[clip]}: its frames are cropped, and the clip table has"
                " no column aspect that says how much: use video.fit: squeeze"
            )
        return outputs.frame_aspect / aspect


def place_map(values: np.ndarray, ratio: float) -> np.ndarray:
    """Return the map of a whole picture from that of a frame cropped from its middle, (SIZE, SIZE) or (h, w).

    ratio: aspect of the frame over that of the picture; 1: the frame is the whole picture.
    """
    width, height = max(min(1.0, ratio), MIN_FRACTION), max(min(1.0, 1 / ratio), MIN_FRACTION)
    if width == height == 1:
        return values
    placed = np.full((SIZE, SIZE), values.min(), values.dtype)
    rows, columns = (np.arange(SIZE) for _ in range(2))
    # The cell of the frame in which the middle of each pixel of the picture is.
    y = ((rows + 0.5) / SIZE - 0.5) / height + 0.5
    x = ((columns + 0.5) / SIZE - 0.5) / width + 0.5
    is_inside = ((y >= 0) & (y < 1))[:, None] & ((x >= 0) & (x < 1))
    i = np.clip((y * values.shape[0]).astype(int), 0, values.shape[0] - 1)
    j = np.clip((x * values.shape[1]).astype(int), 0, values.shape[1] - 1)
    placed[is_inside] = values[i[:, None], j][is_inside]
    return placed


def _mean_overlap(region: np.ndarray, truths: Sequence[np.ndarray]) -> float:
    """Return the mean overlap of a region with the sources of a picture."""
    return float(np.mean([overlap(region, truth) for truth in truths]))
