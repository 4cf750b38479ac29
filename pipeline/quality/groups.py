"""Search the stored fingerprints and descriptions of all clips for copies, and group the clips."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.quality import duplicates
from pipeline.quality.fingerprint import count_codes
from pipeline.quality.table import Groups
from pipeline.store.status import OK
from pipeline.store.values import ClipArrays


def find_groups(
    audio_folder: str, audio_index: pa.Table, video_folder: str, video_index: pa.Table, together: str
) -> Groups:
    """Return the groups of clips that share sound, that share picture, and those that split keeps together.

    audio_index, video_index: of the stages `audio_quality` and `video_quality`, a row for each clip in the
    same order, and their folders. together: the parameter `quality.duplicates`.
    """
    count = len(audio_index)
    if together == "none":
        nothing = np.full(count, -1, np.int64)
        return Groups(nothing, nothing, nothing)
    rows, usable, codes = _read(audio_folder, audio_index)
    lengths = (
        [min(count_codes(s), codes.shape[1]) for s in usable["seconds"].to_pylist()] if len(rows) else []
    )
    audio = _renumber(duplicates.find_sounds(codes, np.array(lengths, int)) if len(rows) else set(), rows)
    rows, _, descriptions = _read(video_folder, video_index)
    video = _renumber(duplicates.find_pictures(descriptions) if len(rows) else set(), rows)
    joined = {"sound": audio, "picture": video, "any": audio | video, "both": audio & video}[together]
    return Groups(*(duplicates.group_clips(pairs, count) for pairs in (audio, video, joined)))


def _read(folder: str, index: pa.Table) -> tuple[np.ndarray, pa.Table, Any]:
    """Return the numbers of the clips with a value, their rows of the index, and their values."""
    is_ok = pc.equal(index["status"], OK)
    usable = index.filter(is_ok)
    return np.flatnonzero(is_ok.to_numpy(zero_copy_only=False)), usable, ClipArrays.from_index(folder, usable)


def _renumber(pairs: duplicates.Pairs, rows: np.ndarray) -> duplicates.Pairs:
    """Return pairs of numbers of clips. rows: the number of each clip that was searched."""
    return {(int(rows[a]), int(rows[b])) for a, b in pairs}
