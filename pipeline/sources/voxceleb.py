"""The source `voxceleb`: faces and voices of people, in the published folder structure, read in place.

Below `data.folder` are faces, `<person>/.../<recording>/*.jpg` or `<person>/*.jpg`, and voices,
`<person>/<recording>/*.wav`. A clip is a face and a voice of one person, not of the same moment. VoxCeleb1
has names for faces and ids for voices: `vox1_meta.csv` in the folder translates.

Each clip is within a pair of recordings: recordings of the same name are paired first, then the rest in turn.
Clips are split by `video_id`, which is the pair, so no recording is in two splits.

Source: Nagrani et al., VoxCeleb (arXiv 1706.08612); VGGFace's names in vox1_meta.csv.
"""

import csv
import os
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download.step import in_place_outcome
from pipeline.errors import UserError
from pipeline.sources import folder
from pipeline.store import clip_table
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

META = "vox1_meta.csv"
Files = dict[str, dict[str, list[str]]]  # person -> recording -> relative paths


def clips(data: "DataParams") -> pa.Table:
    """Return the clip table, by person. `labels` and `subject` are the person, `video_id` the recordings.

    Raises UserError if a folder is missing or empty, and if nobody has both a face and a voice.
    """
    root = folder.resolve(data.folder)
    faces, voices = _faces_and_voices(root, data)
    people = sorted(faces.keys() & voices.keys())
    if not people:
        raise UserError(
            f"{root}: nobody has both a face and a voice: {len(faces)} people in {data.voxceleb.faces}"
            f" ({_first_names(faces)}), {len(voices)} in {data.voxceleb.voices} ({_first_names(voices)}); for"
            f" VoxCeleb1, put {META} beside them, which has the names of the ids"
        )
    rows = []
    for person in people:
        pairs = _pair(person, faces[person], voices[person], data.voxceleb.pair)
        rows += [_row(root, person, *pair) for pair in pairs[: data.voxceleb.per_person]]
    folder.add_ids(rows)
    names = clip_table.SCHEMA.names + folder.EXTRA.names
    return clip_table.from_rows([{n: row.get(n) for n in names} for row in rows], folder.EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """Return a line for each kind of person and file that is in no clip of `table`."""
    root = folder.resolve(data.folder)
    faces, voices = _faces_and_voices(root, data)
    lines = []
    for files, other_files, missing in ((faces, voices, "voice"), (voices, faces, "face")):
        if people := files.keys() - other_files.keys():
            lines.append(f"{len(people)} people left out, who have no {missing}: {_first_names(people)}")
    for column, files, noun in (("video", faces, "faces"), ("audio", voices, "voices")):
        total = sum(len(paths) for recordings in files.values() for paths in recordings.values())
        if unused := total - len(set(table[column].to_pylist())):
            lines.append(
                f"{unused} {noun} in no clip: without a partner, or beyond data.voxceleb.per_person"
                f" ({data.voxceleb.per_person})"
            )
    return lines


def stamp(clip: dict) -> list:
    """Return what changes when one of the clip's files does."""
    return folder.stamp(clip)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check the clip's files. They stay in place."""
    return in_place_outcome(clip, {clip[kind]: folder.check_file(clip[kind]) for kind in ("audio", "video")})


def _faces_and_voices(root: str, data: "DataParams") -> tuple[Files, Files]:
    """Return both sides, by the same names of people."""
    params = data.voxceleb
    faces = _find_files(root, params.faces, folder.PICTURE, "pictures", "data.voxceleb.faces")
    voices = _find_files(root, params.voices, folder.SOUND, "sounds", "data.voxceleb.voices")
    names = _names(root)
    # VoxCeleb2 has ids on both sides: they stay.
    return faces, {names[p] if names.get(p) in faces else p: files for p, files in voices.items()}


def _find_files(root: str, name: str, extensions: frozenset[str], noun: str, key: str) -> Files:
    """List the files with these extensions in the folder `root`/`name`.

    noun, key: for the message. Raises UserError if there are none.
    """
    top = folder.resolve(os.path.join(root, name))
    files: Files = defaultdict(lambda: defaultdict(list))
    for path in folder.scan(top).media:
        person, _, rest = path.partition("/")
        if rest and os.path.splitext(path)[1][1:].lower() in extensions:
            # A file directly in the person's folder has no recording's name: it counts as a recording.
            recording = os.path.basename(os.path.dirname(path)) if "/" in rest else rest
            files[person][recording].append(f"{name}/{path}")
    if not files:
        raise UserError(f"{top}: no {noun} in folders of people there (<person>/.../<file>): change {key}")
    return {person: dict(recordings) for person, recordings in files.items()}


def _names(root: str) -> dict[str, str]:
    """Return id -> VGGFace's name, from vox1_meta.csv (separated by tabs); empty without the file."""
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


def _pair(
    person: str, faces: dict[str, list[str]], voices: dict[str, list[str]], mode: str
) -> list[tuple[str, str, str]]:
    """Return (face, voice, id of the pair of recordings), in a random order that is always the same.

    faces, voices: recording -> paths. mode: `person` pairs all recordings of the person, `video` only those
    of the same name. The list alternates between the pairs of recordings, so that its beginning has clips of
    each.
    """
    pairs_by_recordings = []
    for name, face_paths, voice_paths in _pair_recordings(faces, voices, mode):
        generator = random.Random(f"{person}/{name}")
        face_paths, voice_paths = sorted(face_paths), sorted(voice_paths)
        generator.shuffle(face_paths)
        generator.shuffle(voice_paths)
        pairs_by_recordings.append(
            [(f, v, f"{person}/{name}") for f, v in zip(face_paths, voice_paths, strict=False)]
        )
    longest = max(map(len, pairs_by_recordings), default=0)
    return [pairs[i] for i in range(longest) for pairs in pairs_by_recordings if i < len(pairs)]


def _pair_recordings(
    faces: dict[str, list[str]], voices: dict[str, list[str]], mode: str
) -> list[tuple[str, list[str], list[str]]]:
    """Return (name of the pair, paths of faces, paths of voices): see `_pair`.

    If one side has more recordings than the other, several of them are joined into one.
    """
    common = sorted(faces.keys() & voices.keys())
    groups = [(name, faces[name], voices[name]) for name in common]
    if mode == "person":
        face_names, voice_names = (sorted(side.keys() - set(common)) for side in (faces, voices))
        count = min(len(face_names), len(voice_names))
        for k in range(count):
            face_paths = [path for name in face_names[k::count] for path in faces[name]]
            voice_paths = [path for name in voice_names[k::count] for path in voices[name]]
            groups.append((f"{face_names[k]}+{voice_names[k]}", face_paths, voice_paths))
    return groups


def _row(root: str, person: str, face: str, voice: str, recording: str) -> dict:
    return {
        "path": f"{voice}\0{face}",
        "audio": folder.join(root, voice),
        "video": folder.join(root, face),
        "labels": [person],
        "subject": person,
        "video_id": recording,
    }


def _first_names(people: Iterable[str]) -> str:
    names = sorted(people)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
