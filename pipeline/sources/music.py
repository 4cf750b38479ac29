"""The source `music`: MUSIC, videos of one or two people who play instruments.

Its lists, `MUSIC_solo_videos.json` and `MUSIC_duet_videos.json`, have YouTube ids by instrument, or by two
instruments separated by a blank. A clip is `data.music.seconds` of a video; the first `data.music.per_video`
such parts of each are used. In copies of the data set, the file of a video is `<YouTube id>.mp4`.

With `data.music.subset`, clips are those of the published lists of AVGN instead, which have a split: frames,
`<YouTube id>_<second>_<number of the frame>`. A clip is one second that has such frames.

Sources: Zhao et al., The Sound of Pixels, ECCV 2018 (arXiv 1804.03160); Mo and Tian, Audio-Visual Grouping
Network for Sound Localization from Mixtures, CVPR 2023.
"""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.published import list_files, media
from pipeline.sources.published.downloads import collect, finish, load, media_key, stamp
from pipeline.sources.published.in_place import fetch

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "collect", "fetch", "finish", "load", "media_key", "stamp"]

# Published subsets: name -> (file in `data.subset_lists`, split) of each list.
SUBSETS = {
    "avgn_solo": (("music_solo_train.txt", None), ("music_solo_test.csv", "test")),
    "avgn_duet": (("music_duet_train.txt", None), ("music_duet_test.csv", "test")),
}
FRAME = re.compile(r"(.+)_([0-9]{3})_([0-9]{5})")  # YouTube id, second, number of the frame
EXTRA = pa.schema([pa.field("video_id", pa.string())])  # the column that only this source has


def clips(data: "DataParams") -> Clips:
    """Return the clips, in the order of the lists. Raises UserError if a list is invalid."""
    params = data.music
    labels = read_videos(params.lists)
    if params.subset:
        rows, lines = _select_subset(params.subset, labels, data)
    else:
        parts = [(k * params.seconds, (k + 1) * params.seconds) for k in range(params.per_video)]
        rows = [_make_row(video, labels[video], *part, None) for video in labels for part in parts]
        lines = []
    if not rows:
        reason = f" ({lines[0]})" if lines else ""
        raise UserError(f"data.music: no clip is left{reason}: change lists or subset")
    return media.make_clips(rows, lines, data, EXTRA)


def _select_subset(
    subset: str, labels: dict[str, list[str]], data: "DataParams"
) -> tuple[list[dict], list[str]]:
    """Return the rows of the clips of a published subset, without media; and lines on the other videos.

    subset: a key of SUBSETS. labels: YouTube id -> instruments, of the videos of data.music.lists.
    """
    rows: dict[str, dict] = {}
    unknown: dict[str, None] = {}  # videos, in order
    for file, split in SUBSETS[subset]:
        for video, second in _read_seconds(data.subset_lists, file):
            if video not in labels:
                unknown[video] = None
                continue
            row = _make_row(video, labels[video], second, second + 1, split)
            rows[row["clip_id"]] = row  # a second in both lists is for the test, whose list is read last
    lines = []
    if unknown:
        lines.append(
            f"{len(unknown)} videos of data.music.subset: {subset} are not in data.music.lists,"
            f" left out: {next(iter(unknown))}, …"
        )
    used = {row["video_id"] for row in rows.values()}
    if n := len(labels.keys() - used):
        lines.append(f"{n} of {len(labels)} videos of data.music.lists are not in the subset, left out")
    return list(rows.values()), lines


def _make_row(video: str, labels: list[str], start: float, end: float, split: str | None) -> dict:
    """Return the row of the part of a video from `start` to `end` (s), without its media."""
    return {
        "clip_id": f"{media.safe_name(video)}_{start:g}".replace("+", ""),  # :g writes 1e+06
        "labels": labels,
        "split": split,
        "video_id": video,
        "place": media.Place((start, end), video, (start, end)),
    }


def read_videos(sources: list[str]) -> dict[str, list[str]]:
    """Read lists of videos: return YouTube id -> instruments, of all lists together.

    sources: `data.music.lists`. Raises UserError if a list has something else in it.
    """
    key = "data.music.lists"
    labels: dict[str, list[str]] = {}
    for source in sources:
        content = list_files.read_json(source, key)
        try:
            videos = [(video, name) for name, ids in content["videos"].items() for video in ids]
            for video, name in videos:
                instruments = labels.setdefault(video, [])
                instruments += [part for part in name.split() if part not in instruments]
        except (TypeError, KeyError, AttributeError) as e:
            reason = f"{type(e).__name__}: {e}"
            raise UserError(
                f"{key}: {source}: no YouTube ids by instrument under videos ({reason})"
            ) from None
        if not all(isinstance(video, str) for video, _ in videos):
            raise UserError(f"{key}: {source}: a YouTube id under videos is no text")
    return labels


def _read_seconds(folder: str, file: str) -> list[tuple[str, int]]:
    """Return (video, second) of a list of frames, each once, in the order of the list.

    folder: `data.subset_lists`. Raises UserError if the list is missing, and for a row that is no frame.
    """
    key = "data.subset_lists"
    path = list_files.find_list(folder, file, key)
    seconds: dict[tuple[str, int], None] = {}
    problems = []
    for line, fields in list_files.read_rows(path, key):
        if match := FRAME.fullmatch(fields[0].strip()):
            seconds[match[1], int(match[2])] = None
        else:
            problems.append(f"line {line}: not <YouTube id>_<second>_<frame>: {fields[0][:60]}")
    list_files.raise_problems(path, key, problems)
    return list(seconds)
