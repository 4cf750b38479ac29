"""The source `voxceleb`: faces and voices of people, each in its published folder form, read where they lie.

Under `data.folder`: faces as `<person>/.../<recording>/*.jpg` or `<person>/*.jpg`, voices as
`<person>/<recording>/*.wav`. A clip is a face and a voice of one person, not of one moment. Where VoxCeleb1's
faces go by names and its voices by ids, `vox1_meta.csv` in the folder tells which is which.

Recordings are paired first, and clips made within a pair: by their name where both sides have it, the rest
in turn. So `video_id`, by which clips are split, stands for whole recordings, and none is on both sides of a
split.

Source: Nagrani et al., VoxCeleb (arXiv 1706.08612); VGGFace's names in vox1_meta.csv.
"""

import csv
import os
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download.step import in_place
from pipeline.errors import UserError
from pipeline.sources import folder
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # sources are part of keys, the reader of params.yaml is not
    from pipeline.config import DataParams

META = "vox1_meta.csv"
Files = dict[str, dict[str, list[str]]]  # person -> recording -> relative paths


def clips(data: "DataParams") -> pa.Table:
    """The clip table, by person. `labels` and `subject` are the person; `video_id` a pair of recordings.

    Raises UserError where a folder is missing or empty, and where nobody has both a face and a voice.
    """
    root = folder.located(data.folder)
    faces, voices = _sides(root, data)
    people = sorted(faces.keys() & voices.keys())
    if not people:
        raise UserError(
            f"{root}: nobody has both a face and a voice: {len(faces)} people in {data.voxceleb.faces}"
            f" ({_some(faces)}), {len(voices)} in {data.voxceleb.voices} ({_some(voices)}); where VoxCeleb1's"
            f" names and ids differ, put {META} beside them"
        )
    rows = []
    for person in people:
        made = _paired(person, faces[person], voices[person], data)
        rows += [_row(root, person, *pair) for pair in made[: data.voxceleb.per_person]]
    folder.give_ids(rows)
    names = clip_table.SCHEMA.names + folder.EXTRA.names
    return clip_table.from_rows([{n: row.get(n) for n in names} for row in rows], folder.EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """One line for each kind of thing that became no clip of `table`."""
    root = folder.located(data.folder)
    faces, voices = _sides(root, data)
    lines = []
    for known, other, what in ((faces, voices, "voice"), (voices, faces, "face")):
        if alone := sorted(known.keys() - other.keys()):
            lines.append(f"{len(alone)} people left out, who have no {what}: {_some(alone)}")
    used = {kind: len(set(table[kind].to_pylist())) for kind in ("audio", "video")}
    for kind, files, what in (("video", faces, "faces"), ("audio", voices, "voices")):
        there = sum(len(paths) for person in files.values() for paths in person.values())
        if rest := there - used[kind]:
            lines.append(
                f"{rest} {what} in no clip: without a partner, or beyond per_person"
                f" ({data.voxceleb.per_person})"
            )
    return lines


def stamp(clip: dict) -> list:
    return folder.stamp(clip)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """The clip's files, checked and left where they lie."""
    return in_place(clip, {clip[kind]: folder.check(clip[kind]) for kind in ("audio", "video")})


def _sides(root: str, data: "DataParams") -> tuple[Files, Files]:
    wanted = data.voxceleb
    faces = _people(root, wanted.faces, folder.PICTURE, "pictures", "data.voxceleb.faces")
    voices = _people(root, wanted.voices, folder.SOUND, "sounds", "data.voxceleb.voices")
    names = _names(root)
    # Only where the faces go by names: VoxCeleb2 has ids on both sides.
    return faces, {names[p] if names.get(p) in faces else p: files for p, files in voices.items()}


def _people(root: str, name: str, kinds: frozenset[str], what: str, key: str) -> Files:
    top = folder.located(os.path.join(root, name))
    found: Files = defaultdict(lambda: defaultdict(list))
    for path in folder.scan(top).media:
        person, _, rest = path.partition("/")
        if rest and os.path.splitext(path)[1][1:].lower() in kinds:
            # A file right in the person's folder says nothing of a recording: it is one by itself.
            recording = os.path.basename(os.path.dirname(path)) if "/" in rest else rest
            found[person][recording].append(f"{name}/{path}")
    if not found:
        raise UserError(f"{top}: no {what} in folders of people there (<person>/.../<file>): see {key}")
    return {person: dict(files) for person, files in found.items()}


def _names(root: str) -> dict[str, str]:
    """id -> VGGFace's name, from vox1_meta.csv (separated by tabs); empty where it is not."""
    path = os.path.join(root, META)
    if not os.path.lexists(path):
        return {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            rows = [row for row in csv.reader(f, delimiter="\t") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"{path}: cannot be read ({e})") from None
    if not rows or rows[0][:2] != ["VoxCeleb1 ID", "VGGFace1 ID"]:
        raise UserError(f"{path}: its columns should be VoxCeleb1 ID, VGGFace1 ID, ..., separated by tabs")
    return {row[0]: row[1] for row in rows[1:] if len(row) > 1}


def _paired(person: str, faces: dict, voices: dict, data: "DataParams") -> list[tuple[str, str, str]]:
    """(face, voice, pair of recordings), drawn by chance but always the same, one pair after the other."""
    both = sorted(faces.keys() & voices.keys())
    groups: list[tuple[str, list, list]] = [(name, faces[name], voices[name]) for name in both]
    if data.voxceleb.pair == "person":
        rest = [sorted(side.keys() - set(both)) for side in (faces, voices)]
        if count := min(map(len, rest)):
            for k in range(count):
                mine = [
                    [p for name in names[k::count] for p in side[name]]
                    for names, side in zip(rest, (faces, voices), strict=True)
                ]
                groups.append((f"{rest[0][k]}+{rest[1][k]}", mine[0], mine[1]))
    lists = []
    for name, seen, heard in groups:
        chance = random.Random(f"{person}/{name}")
        seen, heard = sorted(seen), sorted(heard)
        chance.shuffle(seen)
        chance.shuffle(heard)
        lists.append([(f, v, f"{person}/{name}") for f, v in zip(seen, heard, strict=False)])
    longest = max(map(len, lists), default=0)
    return [made[i] for i in range(longest) for made in lists if i < len(made)]


def _row(root: str, person: str, face: str, voice: str, recording: str) -> dict:
    return {
        "path": f"{voice}\0{face}",
        "audio": folder.join(root, voice),
        "video": folder.join(root, face),
        "labels": [person],
        "subject": person,
        "video_id": recording,
    }


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
