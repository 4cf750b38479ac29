"""Pairs of files: a sound and a picture that are one clip, listed or joined at random by label."""

import random
from collections import defaultdict

from pipeline.errors import UserError
from pipeline.sources.folder.extensions import BOTH, PICTURE, SOUND, split_extension
from pipeline.sources.messages import first_names

# Top folder of a side -> the kinds of files that have it, by extension.
FOLDERS = {"sounds": SOUND | BOTH, "pictures": PICTURE | BOTH}
LAYOUT = "sounds/<label>/* and pictures/<label>/*"
FilesByLabel = dict[str, list[str]]  # label -> paths relative to data.folder


def join_by_label(media: list[str], root: str, seed: int) -> list[dict]:
    """Join each sound with a picture of the same label at random: a row, without an id, for each pair.

    media: paths relative to `root`, the user's folder. Each file is in one pair at most, so that no file is
    in two splits. Pairs are in the order of the labels and sounds. seed: of the choice of partners.
    Raises UserError if no label has both.
    """
    sounds, pictures = (files_by_label(media, top) for top in FOLDERS)
    labels = sorted(sounds.keys() & pictures.keys())
    if not labels:
        raise UserError(
            f"{root}: data.pair: category needs {LAYOUT}: sounds are of {_names(sounds)}, pictures of"
            f" {_names(pictures)}, and no label has both"
        )
    entries = []
    for label in labels:
        generator = random.Random(f"{seed}/{label}")
        orders = [generator.sample(files, len(files)) for files in (sounds[label], pictures[label])]
        for sound, picture in sorted(zip(*orders, strict=False)):
            path = f"{sound} + {picture}"
            entries.append({"path": path, "audio": sound, "video": picture, "labels": [label]})
    return entries


def files_by_label(media: list[str], top: str) -> FilesByLabel:
    """Return the files of one side by label. media: sorted paths. top: a key of FOLDERS."""
    files: FilesByLabel = defaultdict(list)
    for path in media:
        parts = path.split("/")
        if len(parts) > 2 and parts[0] == top and split_extension(path)[1] in FOLDERS[top]:
            files[parts[1]].append(path)
    return dict(files)


def describe_pairs(media: list[str], n_pairs: int) -> list[str]:
    """Return lines that say how many files are in pairs, and which are not.

    media: paths relative to the user's folder. n_pairs: the number of pairs that `join_by_label` made.
    """
    sounds, pictures = (files_by_label(media, top) for top in FOLDERS)
    counts = [sum(map(len, side.values())) for side in (sounds, pictures)]
    lines = [
        f"{n_pairs} pairs by label: {n_pairs} of {counts[0]} sounds and of {counts[1]} pictures are used;"
        f" {counts[0] - n_pairs} sounds and {counts[1] - n_pairs} pictures are left over"
    ]
    for side, other, noun in ((sounds, pictures, "pictures"), (pictures, sounds, "sounds")):
        if alone := side.keys() - other.keys():
            lines.append(f"labels without {noun}, left out: {_names(alone)}")
    if n_other := len(media) - sum(counts):
        lines.append(f"{n_other} media files are not in {LAYOUT}, left out")
    return lines


def set_groups(entries: list[dict]) -> None:
    """Set `video_id` in every row, by which clips are split: the same for rows that share a file.

    Rows may be connected by others: a sound with two pictures, one of which has a second sound. The name of a
    group is its first path. entries: dictionaries with `path`, `audio` and `video`.
    """
    parents: dict[str, str] = {}  # path -> an earlier path of its group; the first one has none

    def find_first(path: str) -> str:
        while path in parents:
            parents[path] = parents.get(parents[path], parents[path])  # halves the way for the next search
            path = parents[path]
        return path

    for entry in entries:
        first, *others = sorted({find_first(entry[side]) for side in ("audio", "video") if entry[side]})
        parents |= dict.fromkeys(others, first)
    for entry in entries:
        entry["video_id"] = find_first(entry["audio"] or entry["video"])


def _names(labels: FilesByLabel | set[str]) -> str:
    """Return the first three labels in alphabetical order, for a message."""
    return first_names(sorted(labels)) or "no label"
