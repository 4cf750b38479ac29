"""MUSIC duets: where in the picture are two instruments that play together? 1,020 frames of 6 videos."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.metrics.localization.published import DUET_THRESHOLD, corners, fraction_truth
from pipeline.metrics.protocols._base import KEY, Listing, fail
from pipeline.metrics.protocols._localization import Localization
from pipeline.metrics.protocols.vgg_ss import read_boxes
from pipeline.store import list_files

FRAME = re.compile(r"(.+)_([0-9]{3})_[0-9]{5}")  # YouTube id, second, number of the frame


class MusicDuet(Localization):
    """truth: for each published frame of a second, the boxes of both instruments: x, y, width, height.

    An id is a second of a video, as the source `music` has clips (`data.music.subset: avgn_duet`). The model
    says where the sound of this second is once, and all frames of the second are compared with that.
    """

    lists = ("music_duet.json",)
    data = "MUSIC, 1,020 frames of 267 s of duets"
    measures = "cIoU (mean overlap of both instruments of at least .3), AUC"
    source = "AVGN, Mo and Tian, CVPR 2023; stoneMo/AVGN"
    threshold = DUET_THRESHOLD

    def read(self, path: str) -> Listing:
        """Read `[{"file": ..., "bbox_src1": [x, y, width, height], "bbox_src2": ...}, ...]`."""
        truth: dict[str, list] = {}
        try:
            for entry in list_files.read_json(path, path, KEY):
                match = FRAME.fullmatch(entry["file"])
                if not match:
                    raise ValueError(f"{str(entry['file'])[:60]} is no frame of a video")
                boxes = read_boxes([entry["bbox_src1"], entry["bbox_src2"]])
                truth.setdefault(f"{match[1]}_{match[2]}", []).append(boxes)
        except (TypeError, KeyError, ValueError) as e:
            fail(path, f"no list of frames with file, bbox_src1 and bbox_src2 ({type(e).__name__}: {e})")
        return Listing(truth)

    def ids(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield the video and the second of a clip of the source `music`, which is in its id."""
        second = row["clip_id"].rpartition("_")[2]
        if row.get("video_id") and second.isdecimal() and len(second) < 4:
            yield f"{row['video_id']}_{int(second):03d}"

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether the clip table has the boxes of two objects that sound."""
        return bool(row.get("box") and row.get("second_box"))

    def own_truth(self, row: dict[str, Any]) -> list[list[list[float]]]:
        """Return the boxes of the two objects of one picture."""
        pairs = row["box"], row["second_box"]
        return [[[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in pairs]]

    def draw(self, truth: Any) -> list[list[np.ndarray]]:
        """Return for each frame a map of each instrument, 1 inside its box."""
        return [[fraction_truth([corners(box)]) for box in boxes] for boxes in truth]


PROTOCOL = MusicDuet()
