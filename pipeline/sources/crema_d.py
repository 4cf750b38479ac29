"""The source `crema_d`: the Crowd-sourced Emotional Multimodal Actors Dataset, read where it lies.

`data.folder` is a clone of the data set, or a folder with its FLV files, however deep. A file's name says who
speaks, which sentence, with what emotion and how strong: `1001_IEO_HAP_LO.flv`. Labels are the emotion that
was acted, or the one (or, where votes were equal, ones) that most raters saw and heard, from the data set's
`summaryTable.csv`. `VideoDemographics.csv` adds age, sex, race and ethnicity where it is there. Both are
looked for in the folder.

Source: Cao et al., CREMA-D, IEEE Transactions on Affective Computing 5 (2014).
"""

import csv
import os
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.download.step import in_place
from pipeline.errors import UserError
from pipeline.sources import folder
from pipeline.store import clip_table
from pipeline.store.status import Outcome, failed

if TYPE_CHECKING:  # sources are part of keys, the reader of params.yaml is not
    from pipeline.config import DataParams

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
NAME = re.compile(rf"(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_({'|'.join(LEVELS)})")
VOTES = {code[0]: name for code, name in EMOTIONS.items()}  # A, D, F, H, N, S
# Broken as published; decoding would give something, and something wrong.
BROKEN = {
    "1064_IEO_DIS_MD": "one minute that holds the sentence in every emotion",
    "1064_TIE_SAD_XX": "a fraction of a second of picture",
    "1076_MTI_NEU_XX": "three frames",
}
RATINGS, PEOPLE = "summaryTable.csv", "VideoDemographics.csv"
EXTRA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("sentence", pa.string()),
        pa.field("emotion", pa.string()),  # acted
        pa.field("level", pa.string()),  # low, medium, high, null where none was asked for
        pa.field("age", pa.int64()),
        pa.field("sex", pa.string()),
        pa.field("race", pa.string()),
        pa.field("ethnicity", pa.string()),
    ]
)


def clips(data: "DataParams") -> pa.Table:
    """The clip table, by name. `subject` is the actor.

    Raises UserError where the folder holds no such file, where none has a wanted emotion, and where one of
    the lists is not what it should be.
    """
    wanted, root = data.crema_d, folder.located(data.folder)
    found, _ = _files(root)
    if not found:
        raise UserError(
            f"{root}: no FLV files of CREMA-D there (such as 1001_IEO_HAP_LO.flv): point data.folder at a"
            " clone of the data set, or at its VideoFlash"
        )
    people = _people(root)
    votes = _votes(root) if wanted.labels == "rated" else {}
    rows = []
    for name, path in found.items():
        known = NAME.fullmatch(name)
        assert known is not None  # it was found by this
        actor, sentence, emotion, level = known.groups()
        if emotion not in wanted.emotions:
            continue
        if wanted.labels == "rated" and name not in votes:
            raise UserError(f"{root}: {RATINGS} says nothing of {name}: use data.crema_d.labels: acted")
        about = people.get(actor, {})
        rows.append(
            {
                "clip_id": name,
                "audio": path,
                "video": path,
                "labels": votes[name] if votes else [EMOTIONS[emotion]],
                "subject": actor,
                "video_id": name,
                "sentence": SENTENCES[sentence],
                "emotion": EMOTIONS[emotion],
                "level": LEVELS[level],
                **{key: about.get(key) for key in ("age", "sex", "race", "ethnicity")},
            }
        )
    if not rows:
        raise UserError(
            f"{root}: none of {len(found)} files has one of the emotions {', '.join(wanted.emotions)}:"
            " see data.crema_d.emotions"
        )
    return clip_table.from_rows(rows, EXTRA)


def notes(data: "DataParams", table: pa.Table) -> list[str]:
    """One line for each kind of thing in the folder that became no clip of `table`."""
    root = folder.located(data.folder)
    found, misnamed = _files(root)
    lines = []
    if misnamed:
        names = ", ".join(misnamed[:3]) + (", …" if len(misnamed) > 3 else "")
        lines.append(
            f"{len(misnamed)} FLV left out, not called Actor_Sentence_Emotion_Level.flv as CREMA-D's: {names}"
        )
    if others := len(found) - len(table):
        lines.append(f"{others} clips of other emotions left out (data.crema_d.emotions)")
    if not _people(root):
        lines.append(f"no {PEOPLE} there: age, sex, race and ethnicity are not known")
    return lines


def stamp(clip: dict) -> list:
    return folder.stamp(clip)


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """The clip's file, checked and left where it lies; those known to be broken fail."""
    if reason := BROKEN.get(clip["clip_id"]):
        return failed("corrupt", f"{clip['clip_id']}: broken as published: {reason}")
    return in_place(clip, {clip["video"]: folder.check(clip["video"])})


def _files(root: str) -> tuple[dict[str, str], list[str]]:
    """name -> path of CREMA-D's files, by name, and the paths of other FLV files."""
    found: dict[str, str] = {}
    misnamed = []
    for path in folder.scan(root).media:
        name, ext = os.path.splitext(os.path.basename(path))
        if ext.lower() != ".flv":
            continue
        if not NAME.fullmatch(name):
            misnamed.append(path)
        elif name in found:
            raise UserError(f"{root}: {name}.flv is there twice: keep one")
        else:
            found[name] = folder.join(root, path)
    return dict(sorted(found.items())), misnamed


def _people(root: str) -> dict[str, dict]:
    """actor -> age, sex, race, ethnicity; empty without the list."""
    columns = ("ActorID", "Age", "Sex", "Race", "Ethnicity")
    found = {}
    for line, row in _list(root, PEOPLE, columns):
        if not row["Age"].isdecimal():
            raise UserError(f"{PEOPLE}: line {line}: Age {row['Age']!r} is no number")
        values = {c.lower(): row[c].strip() or None for c in columns[2:]}
        found[row["ActorID"].strip()] = {"age": int(row["Age"]), **values}
    return found


def _votes(root: str) -> dict[str, list[str]]:
    """name -> what most raters saw and heard."""
    found = {}
    for line, row in _list(root, RATINGS, ("FileName", "MultiModalVote")):
        votes = row["MultiModalVote"].split(":")
        if not set(votes) <= VOTES.keys():
            raise UserError(
                f"{RATINGS}: line {line}: vote {row['MultiModalVote']!r}: it should be of {', '.join(VOTES)}"
            )
        found[row["FileName"].strip()] = [VOTES[v] for v in votes]
    if not found:
        raise UserError(
            f"{root}: no {RATINGS} there, which data.crema_d.labels: rated needs (processedResults/ of the"
            " data set): add it, or use labels: acted"
        )
    return found


def _list(root: str, name: str, columns: tuple[str, ...]):
    """(line, row) of a CSV list of CREMA-D, wherever it lies in the folder; nothing where it is not."""
    path = next((os.path.join(top, name) for top, _, files in os.walk(root) if name in files), None)
    if not path:
        return
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            reader = csv.DictReader(f, strict=True)
            header = {(c or "").lower(): c for c in reader.fieldnames or []}
            missing = [c for c in columns if c.lower() not in header]
            if missing:
                raise UserError(f"{path}: no column {missing[0]}: is this CREMA-D's {name}?")
            for row in reader:
                if None in row or None in row.values():
                    raise UserError(f"{path}: line {reader.line_num}: not as many fields as the header has")
                yield reader.line_num, {c: row[header[c.lower()]] for c in columns}
    except (csv.Error, UnicodeDecodeError) as e:
        raise UserError(f"{path}: broken quoting or not UTF-8 ({e}): download it again") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
