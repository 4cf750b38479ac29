"""VGG-SS: where in the picture is the sound? 5,158 test clips of VGGSound with boxes."""

import math
from typing import Any

import numpy as np

from pipeline.metrics.localization.published import fraction_truth
from pipeline.metrics.protocols._base import KEY, VGGSOUND_NAME, Listing, fail
from pipeline.metrics.protocols._localization import Localization
from pipeline.store import list_files

MAX_BOXES = 1000  # of a picture


class VggSs(Localization):
    """truth: boxes as fractions of the picture: left, top, right, bottom."""

    lists = ("vggss.json",)
    data = "VGG-SS, 5,158 test clips of VGGSound"

    def read(self, path: str) -> Listing:
        """Read `[{"file": ..., "bbox": [[left, top, right, bottom], ...]}, ...]`."""
        truth = {}
        try:
            for entry in list_files.read_json(path, path, KEY):
                if not VGGSOUND_NAME.fullmatch(entry["file"]):
                    raise ValueError(f"{str(entry['file'])[:60]} is no clip of VGGSound")
                truth[entry["file"]] = read_boxes(entry["bbox"])
        except (TypeError, KeyError, ValueError) as e:
            fail(path, f"no list of clips with file and bbox ({type(e).__name__}: {e})")
        return Listing(truth)

    def own_truth(self, row: dict[str, Any]) -> list[list[float]]:
        """Return the boxes of the objects that sound."""
        return [box for box in (row["box"], row.get("second_box")) if box]

    def draw(self, truth: Any) -> list[list[np.ndarray]]:
        """Return one map, 1 inside any box."""
        return [[fraction_truth(truth)]]


def read_boxes(boxes: Any) -> list[list[float]]:
    """Return boxes of a list as they are. Raises ValueError if they are not lists of four finite numbers."""
    if not isinstance(boxes, list) or len(boxes) > MAX_BOXES:
        raise ValueError(f"bbox is no list of at most {MAX_BOXES} boxes")
    for box in boxes:
        is_box = isinstance(box, list) and len(box) == 4
        if not is_box or not all(isinstance(x, int | float) and math.isfinite(x) for x in box):
            raise ValueError(f"a box is not four numbers: {str(box)[:60]}")
    return boxes


PROTOCOL = VggSs()
