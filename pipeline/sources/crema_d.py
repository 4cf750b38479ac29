"""The source `crema_d`: the Crowd-sourced Emotional Multimodal Actors Dataset, read in place.

`data.folder` is a clone of the data set, or a folder that contains its FLV files at any depth. A file's name
holds actor, sentence, emotion and intensity: `1001_IEO_HAP_LO.flv`. The label is the acted emotion, or the
emotion that most raters voted for (several labels after a tie), from the data set's `summaryTable.csv`.
`VideoDemographics.csv`, if present, adds age, sex, race and ethnicity. Both lists may be anywhere in the
folder.

Source: Cao et al., CREMA-D, IEEE Transactions on Affective Computing 5 (2014).
"""

import csv
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips, folder
from pipeline.sources.folder.in_place import fetch as fetch_file
from pipeline.sources.folder.in_place import stamp
from pipeline.sources.messages import first_names
from pipeline.store import clip_table
from pipeline.store.status import Outcome, failed

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

__all__ = ["clips", "fetch", "stamp"]

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}
# The name of a file without its extension: actor, sentence, emotion, level (of the emotion).
NAME = re.compile(rf"(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_({'|'.join(LEVELS)})")
VOTES = {code[0]: name for code, name in EMOTIONS.items()}  # A, D, F, H, N, S -> name of the emotion
# Broken in the published data set. They can be decoded, but the result is wrong.
BROKEN = {
    "1064_IEO_DIS_MD": "one minute that holds the sentence in every emotion",
    "1064_TIE_SAD_XX": "a fraction of a second of picture",
    "1076_MTI_NEU_XX": "three frames",
}
RATINGS, DEMOGRAPHICS = "summaryTable.csv", "VideoDemographics.csv"
EXTRA = pa.schema(  # the columns of the clip table that only this source has
    [
        pa.field("video_id", pa.string()),
        pa.field("sentence", pa.string()),
        pa.field("emotion", pa.string()),  # acted
        pa.field("level", pa.string()),  # low, medium, high; null if the actor was given none
        pa.field("age", pa.int64()),
        pa.field("sex", pa.string()),
        pa.field("race", pa.string()),
        pa.field("ethnicity", pa.string()),
    ]
)


def clips(data: "DataParams") -> Clips:
    """Return the clips, sorted by the names of the files. `subject` is the actor.

    Raises UserError if the folder has no file of the data set or none with a selected emotion, if a list is
    invalid, and if the list of votes is missing and `data.crema_d.labels` is `rated`.
    """
    selection, root = data.crema_d, folder.resolve(data.folder)
    files, misnamed_paths = _find_files(root)
    if not files:
        raise UserError(
            f"{root}: no FLV files of CREMA-D there (such as 1001_IEO_HAP_LO.flv): set data.folder to a"
            " clone of the data set, or to its VideoFlash"
        )
    demographics = _read_demographics(root)
    is_rated = selection.labels == "rated"
    voted_emotions = _read_votes(root) if is_rated else {}
    rows = []
    for name, path in files.items():
        emotion = name.split("_")[2]
        if emotion not in selection.emotions:
            continue
        if is_rated and name not in voted_emotions:
            raise UserError(f"{root}: {RATINGS} has no row for {name}: use data.crema_d.labels: acted")
        labels = voted_emotions[name] if is_rated else [EMOTIONS[emotion]]
        rows.append(_make_row(name, path, labels, demographics))
    if not rows:
        raise UserError(
            f"{root}: none of {len(files)} files has one of the emotions {', '.join(selection.emotions)}:"
            " change data.crema_d.emotions"
        )
    lines = []
    if misnamed_paths:
        lines.append(
            f"{len(misnamed_paths)} FLV files left out, not named Actor_Sentence_Emotion_Level.flv:"
            f" {first_names(misnamed_paths)}"
        )
    if n_unselected := len(files) - len(rows):
        lines.append(f"{n_unselected} clips of other emotions left out (data.crema_d.emotions)")
    if not demographics:
        lines.append(f"no {DEMOGRAPHICS} there: age, sex, race and ethnicity are unknown")
    return Clips(clip_table.from_rows(rows, EXTRA), lines)


def _make_row(name: str, path: str, labels: list[str], demographics: dict[str, dict]) -> dict:
    """Return the row of the clip in the file `name`.flv. demographics: number of the actor -> facts."""
    actor, sentence, emotion, level = name.split("_")
    person = demographics.get(actor, {})
    return {
        "clip_id": name,
        "audio": path,
        "video": path,
        "labels": labels,
        "subject": actor,
        "video_id": name,
        "sentence": SENTENCES[sentence],
        "emotion": EMOTIONS[emotion],
        "level": LEVELS[level],
        **{key: person.get(key) for key in ("age", "sex", "race", "ethnicity")},
    }


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check the clip's file, which stays in place. The files in BROKEN fail. clip: a row of the table."""
    if reason := BROKEN.get(clip["clip_id"]):
        return failed("corrupt", f"{clip['clip_id']}: broken as published: {reason}")
    return fetch_file(clip, data)


def _find_files(root: str) -> tuple[dict[str, str], list[str]]:
    """Return the data set's files in the folder `root` (name -> path, sorted), and paths of other FLV files.

    A name has no extension. Raises UserError if two files have the same name.
    """
    files: dict[str, str] = {}
    misnamed_paths = []
    for path in folder.scan(root).media:
        name, extension = os.path.splitext(os.path.basename(path))
        if extension.lower() != ".flv":
            continue
        if not NAME.fullmatch(name):
            misnamed_paths.append(path)
        elif name in files:
            raise UserError(f"{root}: {name}.flv is there twice: keep one")
        else:
            files[name] = folder.join(root, path)
    return dict(sorted(files.items())), misnamed_paths


def _read_demographics(root: str) -> dict[str, dict]:
    """Return number of the actor -> age, sex, race and ethnicity, from the list in the folder `root`.

    Return an empty dictionary if there is no list. Raises UserError if it is invalid.
    """
    texts = ("Sex", "Race", "Ethnicity")
    demographics = {}
    for line, row in _read_list(root, DEMOGRAPHICS, ("ActorID", "Age", *texts)):
        if not row["Age"].isdecimal():
            raise UserError(f"{DEMOGRAPHICS}: line {line}: Age {row['Age']!r} is not a number")
        values = {column.lower(): row[column].strip() or None for column in texts}
        demographics[row["ActorID"].strip()] = {"age": int(row["Age"]), **values}
    return demographics


def _read_votes(root: str) -> dict[str, list[str]]:
    """Return name of the file -> names of the emotions with the most votes, several after a tie.

    The votes are those of raters who both saw and heard the clip. Raises UserError if the list is missing in
    the folder `root`, or invalid.
    """
    emotions = {}
    for line, row in _read_list(root, RATINGS, ("FileName", "MultiModalVote")):
        votes = row["MultiModalVote"].split(":")
        if not set(votes) <= VOTES.keys():
            raise UserError(f"{RATINGS}: line {line}: vote {row['MultiModalVote']!r}: use {', '.join(VOTES)}")
        emotions[row["FileName"].strip()] = [VOTES[vote] for vote in votes]
    if not emotions:
        raise UserError(
            f"{root}: no {RATINGS} there, which data.crema_d.labels: rated needs (processedResults/ of the"
            " data set): add it, or use labels: acted"
        )
    return emotions


def _read_list(root: str, name: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, column -> text) for each row of the CSV file `name`, which may be anywhere below `root`.

    Yield nothing if there is no such file. columns: those that are needed; upper and lower case are the same.
    Raises UserError if the list cannot be read or lacks one of `columns`.
    """
    paths = (os.path.join(top, name) for top, _, files in os.walk(root) if name in files)
    path = next(paths, None)
    if not path:
        return
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            reader = csv.DictReader(f, strict=True)
            header = {(c or "").lower(): c for c in reader.fieldnames or []}  # lower case -> as in the file
            missing = [column for column in columns if column.lower() not in header]
            if missing:
                raise UserError(f"{path}: no column {missing[0]}: is this CREMA-D's {name}?")
            for row in reader:
                if None in row or None in row.values():  # how DictReader marks too many and too few fields
                    raise UserError(
                        f"{path}: line {reader.line_num}: the number of fields differs from the header's"
                    )
                yield reader.line_num, {column: row[header[column.lower()]] for column in columns}
    except (csv.Error, UnicodeDecodeError) as e:
        raise UserError(f"{path}: broken quoting or not UTF-8 ({e}): download it again") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
