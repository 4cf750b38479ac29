"""The source `vggsound`: VGGSound, 10 s of YouTube's videos with one of 309 labels.

Its list says which clips are for training and which for the test. `data.vggsound.subset` and `train_subset`
leave only the clips of a published subset on one of the two sides. In copies of the data set, the file of a
clip is `<YouTube id>_<first second, six digits>.mp4`.

Source: Chen et al., VGGSound, ICASSP 2020 (arXiv 2004.14368); the list under CC BY 4.0.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.published import media
from pipeline.sources.published.downloads import collect, finish, load, media_key, stamp
from pipeline.sources.published.in_place import fetch
from pipeline.sources.published.selection import select_rows, split_conflicts
from pipeline.sources.vggsound import lists

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "collect", "fetch", "finish", "load", "media_key", "stamp"]

SECONDS = 10  # of a clip
EXTRA = pa.schema(  # the columns of the clip table that only this source has
    [
        pa.field("video_id", pa.string()),
        pa.field("modality", pa.list_(pa.string())),  # of each label: A, V or AV; null: not known
    ]
)


def clips(data: "DataParams") -> Clips:
    """Return the clips that data.vggsound asks for, in the order of the list.

    Raises UserError if a list cannot be read, and if no clip is selected.
    """
    params, lines = data.vggsound, []
    listed = lists.read_list(params.list)
    rows: dict[str, dict] = {}  # name of a clip -> row
    for clip in listed:
        rows.setdefault(clip.name, _make_row(clip))
    if n := len(listed) - len(rows):
        lines.append(f"{n} rows of {params.list} repeat a clip: the first row of a clip counts")
    for key, name, files, split in (
        ("subset", params.subset, lists.TEST_SUBSETS, "test"),
        ("train_subset", params.train_subset, lists.TRAIN_SUBSETS, None),
    ):
        if name:
            labels = lists.read_subset(data.subset_lists, files[name])
            lines += _keep_subset(rows, labels, split, f"data.vggsound.{key}: {name}")
    if conflicts := split_conflicts(list(rows.values())):
        lines.append(f"{len(conflicts)} clips for training left out, whose videos have clips in the test")
        for row in conflicts:
            del rows[row["place"].file]
    selected = select_rows(list(rows.values()), params.per_class, params.clips, params.seed)
    if n := len(rows) - len(selected):
        lines.append(f"{n} clips left out by data.vggsound.per_class and clips")
    if not selected:
        raise UserError("data.vggsound: no clip is left: change subset, train_subset or list")
    return media.make_clips(selected, lines, data, EXTRA)


def _make_row(clip: lists.ListedClip) -> dict:
    """Return the row of a clip of the list, without its media."""
    return {
        "clip_id": f"{media.safe_name(clip.video)}_{clip.start:06d}",
        "labels": [clip.label],
        "split": "test" if clip.is_test else None,  # validation is taken from train
        "video_id": clip.video,
        "place": media.Place((clip.start, clip.start + SECONDS), clip.name),
    }


def _keep_subset(
    rows: dict[str, dict], subset: dict[str, lists.Labels], split: str | None, key: str
) -> list[str]:
    """Remove the rows of `split` that are not in `subset`. Return a line if it has clips of no such row.

    rows: name of a clip -> its row. subset: name of a clip -> its labels, which replace those of the row if
    there are any. split: `test`, or None for training. key: of the parameter, for the line.
    """
    side = {name: row for name, row in rows.items() if row["split"] == split}
    for name, row in side.items():
        if name not in subset:
            del rows[name]
        elif labels := subset[name]:
            row["labels"] = [label for label, _ in labels]
            row["modality"] = [modality for _, modality in labels]
    if not (others := [name for name in subset if name not in side]):
        return []
    side_name = "test" if split else "training"
    return [f"{key}: {len(others)} of its {len(subset)} clips are no {side_name} clips: {others[0]}, …"]
