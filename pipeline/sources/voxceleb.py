"""The source `voxceleb`: faces and voices of people, in the published folder structure, read in place.

Below `data.folder` are faces, `<person>/.../<recording>/*.jpg` or `<person>/*.jpg`, and voices,
`<person>/<recording>/*.wav`. A clip is a face and a voice of one person, not of the same moment. VoxCeleb1
has names for faces and ids for voices: `vox1_meta.csv` in the folder translates.

`data.voxceleb.trials` is a published list of trials, such as veri_test2.txt of VoxCeleb1-O: its speakers are
the test split.

Each clip is within a pair of recordings: recordings of the same name are paired first, then the rest in turn.
Clips are split by `video_id`, which is the pair, so no recording is in two splits.

Source: Nagrani et al., VoxCeleb (arXiv 1706.08612); VGGFace's names in vox1_meta.csv.
"""

import csv
import os
import random
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import UserError
from pipeline.sources import Clips, folder
from pipeline.sources.folder.extensions import PICTURE, SOUND, split_extension
from pipeline.sources.folder.in_place import fetch, stamp
from pipeline.sources.messages import first_names
from pipeline.sources.published import list_files
from pipeline.store import clip_table

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "fetch", "stamp"]

META = "vox1_meta.csv"
Files = dict[str, dict[str, list[str]]]  # person -> recording -> paths relative to data.folder


def clips(data: "DataParams") -> Clips:
    """Return the clips, sorted by person.

    `labels` and `subject` are the person, `video_id` the pair of recordings that a clip is from. Raises
    UserError if a folder is missing or empty, and if nobody has both a face and a voice.
    """
    root = folder.resolve(data.folder)
    faces, voices = _find_faces_and_voices(root, data)
    people = sorted(faces.keys() & voices.keys())
    if not people:
        raise UserError(
            f"{root}: nobody has both a face and a voice: {len(faces)} people in {data.voxceleb.faces}"
            f" ({first_names(sorted(faces))}), {len(voices)} in {data.voxceleb.voices}"
            f" ({first_names(sorted(voices))}); for VoxCeleb1, put {META} beside them, which has the names of"
            " the ids"
        )
    rows: list[dict] = []
    speakers = _read_speakers(root, data)
    for person in people:
        pairs = _pair_files(person, faces[person], voices[person], data.voxceleb.pair)
        split = "test" if person in speakers else None
        for pair in pairs[: data.voxceleb.per_person]:
            rows.append(_make_row(root, person, pair) | {"split": split})
    folder.add_ids(rows)
    lines = _describe(faces, voices, rows, data)
    if absent := sorted(speakers.difference(people)):
        lines.append(f"{len(absent)} speakers of data.voxceleb.trials have no clip: {first_names(absent)}")
    return Clips(clip_table.from_rows(rows, folder.EXTRA), lines)


def _describe(faces: Files, voices: Files, rows: list[dict], data: "DataParams") -> list[str]:
    """Return a line for each kind of person and file that is in no row of the clip table."""
    lines = []
    for files, other_files, missing in ((faces, voices, "voice"), (voices, faces, "face")):
        if people := files.keys() - other_files.keys():
            lines.append(
                f"{len(people)} people left out, who have no {missing}: {first_names(sorted(people))}"
            )
    for column, files, noun in (("video", faces, "faces"), ("audio", voices, "voices")):
        n_files = sum(len(paths) for recordings in files.values() for paths in recordings.values())
        if n_unused := n_files - len({row[column] for row in rows}):
            lines.append(
                f"{n_unused} {noun} in no clip: without a partner, or beyond data.voxceleb.per_person"
                f" ({data.voxceleb.per_person})"
            )
    return lines


def _read_speakers(root: str, data: "DataParams") -> set[str]:
    """Return the people in the list of trials, by the names of their faces. Raises UserError for other lists.

    A line is 0 or 1, and two paths `<person>/<recording>/<file>`, separated by blanks.
    """
    source, key = data.voxceleb.trials, "data.voxceleb.trials"
    if source is None:
        return set()
    names, problems = _read_names(root), []
    speakers: set[str] = set()
    for line, fields in list_files.read_rows(source, key, delimiter=" "):
        paths = [field for field in fields if field][1:]
        if len(paths) == 2 and all("/" in path for path in paths):
            speakers |= {path.split("/")[0] for path in paths}
        else:
            problems.append(f"line {line}: not 0 or 1 and two utterances: {' '.join(fields)[:60]}")
    list_files.raise_problems(source, key, problems)
    return {names.get(speaker, speaker) for speaker in speakers}


def _find_faces_and_voices(root: str, data: "DataParams") -> tuple[Files, Files]:
    """Return the files with faces and those with voices: person -> recording -> paths relative to `root`.

    Both have the same names of people. Raises UserError if there are no faces or no voices.
    """
    params = data.voxceleb
    faces = _find_files(root, params.faces, PICTURE, "pictures", "data.voxceleb.faces")
    voices = _find_files(root, params.voices, SOUND, "sounds", "data.voxceleb.voices")
    names = _read_names(root)
    voices_by_name = {}
    for person, recordings in voices.items():
        name = names.get(person)
        # VoxCeleb2 has ids for both faces and voices: they stay.
        voices_by_name[name if name in faces else person] = recordings
    return faces, voices_by_name


def _find_files(root: str, name: str, extensions: frozenset[str], noun: str, key: str) -> Files:
    """Return the files in the folder `root`/`name`: person -> recording -> paths relative to `root`.

    extensions: of the files, in lower case, without a dot. noun, key: what the files are and which parameter
    has the folder's name, for a message. Raises UserError if there are no files.
    """
    top = os.path.join(root, name)
    if not os.path.isdir(top):
        raise UserError(f"{top}: no such folder: set {key} to the name of the folder with the {noun}")
    top = folder.resolve(top)
    files: Files = defaultdict(lambda: defaultdict(list))
    for path in folder.scan(top).media:
        person, _, rest = path.partition("/")
        if rest and split_extension(path)[1] in extensions:
            # A file directly in the person's folder belongs to no recording: it counts as one.
            recording = os.path.basename(os.path.dirname(path)) if "/" in rest else rest
            files[person][recording].append(f"{name}/{path}")
    if not files:
        raise UserError(f"{top}: no {noun} in folders of people there (<person>/.../<file>): change {key}")
    return {person: dict(recordings) for person, recordings in files.items()}


def _read_names(root: str) -> dict[str, str]:
    """Return VoxCeleb1's id of a person -> VGGFace's name, from vox1_meta.csv, which is separated by tabs.

    Return an empty dictionary if the file is not in the folder `root`. Raises UserError if it is invalid.
    """
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


class FilePair(NamedTuple):
    """A face and a voice of one person, for one clip."""

    face: str  # path relative to data.folder
    voice: str  # path relative to data.folder
    recordings: str  # id of the pair of recordings that they are from: <person>/<name of the pair>


def _pair_files(
    person: str, faces: dict[str, list[str]], voices: dict[str, list[str]], mode: str
) -> list[FilePair]:
    """Return pairs of the faces and voices of one person, in a random order that is always the same.

    faces, voices: recording -> paths. mode: `person` pairs all recordings of the person, `video` only those
    of the same name. Each file is in one pair at most. The list alternates between the pairs of recordings,
    so that its beginning has clips of each.
    """
    lists: list[list[FilePair]] = []  # one for each pair of recordings
    for name, face_paths, voice_paths in _pair_recordings(faces, voices, mode):
        recordings = f"{person}/{name}"
        generator = random.Random(recordings)
        face_paths, voice_paths = sorted(face_paths), sorted(voice_paths)
        generator.shuffle(face_paths)
        generator.shuffle(voice_paths)
        paths = zip(face_paths, voice_paths, strict=False)  # the longer list has files without a partner
        lists.append([FilePair(face, voice, recordings) for face, voice in paths])
    max_length = max(map(len, lists), default=0)
    return [pairs[i] for i in range(max_length) for pairs in lists if i < len(pairs)]


def _pair_recordings(
    faces: dict[str, list[str]], voices: dict[str, list[str]], mode: str
) -> list[tuple[str, list[str], list[str]]]:
    """Return (name of the pair, paths of faces, paths of voices) for each pair of recordings of a person.

    faces, voices: recording -> paths. mode: `person` or `video`. Recordings of the same name are a pair.
    With `person`, the others are paired too, in the order of their names; if there are more of faces than of
    voices or the reverse, several of them are joined, so that each recording is in one pair.
    """
    common_names = sorted(faces.keys() & voices.keys())
    pairs = [(name, faces[name], voices[name]) for name in common_names]
    if mode == "person":
        face_names = sorted(faces.keys() - set(common_names))
        voice_names = sorted(voices.keys() - set(common_names))
        count = min(len(face_names), len(voice_names))
        for k in range(count):
            face_paths = [path for name in face_names[k::count] for path in faces[name]]
            voice_paths = [path for name in voice_names[k::count] for path in voices[name]]
            pairs.append((f"{face_names[k]}+{voice_names[k]}", face_paths, voice_paths))
    return pairs


def _make_row(root: str, person: str, pair: FilePair) -> dict:
    """Return the row of a clip, without its id. `path`, from which the id is made, stands for both files."""
    return {
        "path": f"{pair.voice}\0{pair.face}",
        "audio": folder.join(root, pair.voice),
        "video": folder.join(root, pair.face),
        "labels": [person],
        "subject": person,
        "video_id": pair.recordings,
    }
