"""Retrieval between sounds and pictures of AudioSet: 5 clips a class of its evaluation set."""

from collections.abc import Iterator
from typing import Any

from pipeline.metrics.protocols._retrieval import Retrieval


class AudiosetRetrieval(Retrieval):
    """CAV-MAE's list, which its authors offer on a file host; ids are YouTube's."""

    lists = ("audioset_eval_5_per_class_for_retrieval_cleaned.json",)
    data = "AudioSet, evaluation set, 5 clips a class"
    source = "CAV-MAE, arXiv 2210.07839; YuanGongND/cav-mae"

    def ids(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield the names of a clip, and its video: AudioSet has one clip of a video."""
        yield from super().ids(row)
        if row.get("video_id"):
            yield row["video_id"]


PROTOCOL = AudiosetRetrieval()
