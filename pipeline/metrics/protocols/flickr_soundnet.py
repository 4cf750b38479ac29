"""Flickr-SoundNet: where in the picture is the sound? 249 clips with boxes of several annotators."""

import os
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from pipeline.metrics.localization.published import FLICKR_SIZE, VOTES, vote_truth
from pipeline.metrics.protocols._base import Listing, fail, read_ids
from pipeline.metrics.protocols._localization import Localization

ID = re.compile(r"\d{1,20}")  # of a clip
ANNOTATIONS = "Annotations"  # folder beside the list: <id>.xml
MAX_BYTES = 1 << 20  # of an annotation


class FlickrSoundnet(Localization):
    """truth: a box of each annotator, in pixels of a picture of 256 x 256: left, top, right, bottom."""

    lists = ("flickr_test.csv",)
    data = "Flickr-SoundNet, 249 test clips"

    def read(self, path: str) -> Listing:
        """Read the list of clips, and the annotation of each."""
        folder = os.path.join(os.path.dirname(path), ANNOTATIONS)
        truth, problems = {}, []
        for name in read_ids(path, ID, "an id of Flickr"):
            try:
                truth[name] = read_annotation(os.path.join(folder, f"{name}.xml"))
            except (OSError, ValueError, ElementTree.ParseError) as e:
                problems.append(f"{ANNOTATIONS}/{name}.xml: {e.strerror if isinstance(e, OSError) else e}")
        if problems:
            fail(path, "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" * (len(problems) > 3)))
        return Listing(truth)

    def own_truth(self, row: dict[str, Any]) -> list[list[float]]:
        """Return the box of the object that sounds, as if VOTES annotators agreed."""
        return [[FLICKR_SIZE * x for x in row["box"]]] * VOTES

    def draw(self, truth: Any) -> list[list[np.ndarray]]:
        """Return one map, one half inside a single box, and 1 where two or more overlap."""
        return [[vote_truth(truth)]]


def read_annotation(path: str) -> list[list[float]]:
    """Return the boxes of an annotation: elements `bbox`, whose last four children are the corners.

    Other elements are no boxes. Raises OSError, ValueError and ParseError if the file is none.
    """
    with open(path, "rb") as f:
        content = f.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES or b"<!" in content.replace(b"<!--", b""):
        raise ValueError("larger than an annotation, or with declarations")
    boxes = []
    for element in ElementTree.fromstring(content).iter("bbox"):
        corners = [float(child.text or "nan") for child in element][-4:]
        if len(corners) != 4 or not np.isfinite(corners).all():
            raise ValueError("a box is not four numbers")
        boxes.append(corners)
    return boxes


PROTOCOL = FlickrSoundnet()
