"""Read `clips.csv`, the list of clips in a user's folder. One error names all its problems, by line."""

import csv
import difflib
import io
import math
import os
import re
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.sources.folder.extensions import PICTURE, SOUND, split_extension
from pipeline.sources.folder.paths import check_path
from pipeline.sources.messages import quote
from pipeline.store.clip_table import CLIP_ID, SIDE_TIMES, SPLITS

SIDES = ("audio", "video")
# A list has the column path, or audio and video in its place.
COLUMNS = ("path", *SIDES, "clip_id", "start", "end", *SIDE_TIMES, "labels", "subject", "split")
SIDE_NAMES = {"audio": "sound", "video": "picture"}
MAX_PROBLEMS = 20  # in one message
# A byte that is not UTF-8: the error handler `surrogateescape` decodes it to one of these characters.
NOT_UTF8_BYTE = re.compile("[\udc80-\udcff]")
SURROGATE_OFFSET = 0xDC00  # such a character minus this is the byte
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Problem(NamedTuple):
    """What is wrong with a line of the file, for the user."""

    line: int  # 1: the first
    message: str


def read_clips_csv(root: str, name: str) -> tuple[list[dict], list[Problem]]:
    """Return the rows of the file `name` in the folder `root`, in its order, and the problems in it.

    A row is a dictionary with the keys COLUMNS and `line` (where the row begins in the file). `audio` and
    `video` are its files; `path` is the file, or the names of both. `start` and `end` are those of both sides
    or, if they differ, None: then SIDE_TIMES has them. Empty fields are None, or [] for labels. A row with a
    problem may be missing. Raises UserError if the file cannot be read, is not UTF-8 or has no rows.
    """
    file_path = os.path.join(root, name)
    try:
        with open(file_path, "rb") as f:
            raw = f.read()
    except OSError as e:
        raise UserError(f"{file_path}: cannot be read: {e.strerror}") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{file_path}: line 1: UTF-16, not UTF-8: save it as UTF-8")
    # Bytes that are not UTF-8 become lone surrogates, so that a message can name every line with some.
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    problems: list[Problem] = []
    numbered_rows = _csv_rows(text, problems)
    line, header = next(numbered_rows, (1, []))
    if not header and not problems:
        raise UserError(
            f"{file_path}: line 1: empty: give it a header with a column path (or audio and video), and a row"
            " for each clip"
        )
    columns = _parse_header(line, header, problems)
    entries = []
    row_count = 0
    for line, values in numbered_rows:
        row_count += 1
        if len(values) != len(header):
            message = f"{len(values)} fields where the header has {len(header)}: quote what holds a comma"
            problems.append(Problem(line, message))
        elif not {"path", *SIDES}.isdisjoint(columns):
            fields = {c: v for c, v in zip(columns, values, strict=True) if c in COLUMNS}
            if not any(map(NOT_UTF8_BYTE.search, fields.values())):  # `_csv_rows` reports those lines
                entry = _parse_row(root, line, fields, problems)
                if entry["path"].strip():
                    entries.append(entry)
    if not row_count and not problems:
        raise UserError(f"{file_path}: line {line}: a header and no rows: add a row for each clip")
    return entries, problems


def find_duplicates(entries: list[dict]) -> list[Problem]:
    """Return a problem for each row that has the `clip_id` of an earlier row.

    entries: rows, as `read_clips_csv` returns them, all with an id. `has_generated_id` is true in a row whose
    id is not from the file, but was made from the path, the start and the end of the clip. So two rows with
    the same generated id are the same clip of one file.
    """
    first_entries: dict[str, dict] = {}  # clip_id -> the first row that has it
    problems = []
    for entry in entries:
        clip_id, path = entry["clip_id"], entry["path"]
        if clip_id not in first_entries:
            first_entries[clip_id] = entry
            continue
        first = first_entries[clip_id]
        if entry.get("has_generated_id") and first.get("has_generated_id"):
            message = f"the same clip of {quote(path)} as line {first['line']}: use one row, labels a;b"
        else:
            message = f"clip_id {quote(clip_id)} is a duplicate of line {first['line']}: make each id unique"
        problems.append(Problem(entry["line"], message))
    return problems


def find_split_conflicts(entries: list[dict]) -> list[Problem]:
    """Return a problem for each row that puts a file into another split than an earlier row does.

    entries: rows, as `read_clips_csv` returns them, with `video_id`: the same for rows that share a file. A
    row without a split has no conflict.
    """
    first_entries: dict[str, dict] = {}  # video_id -> the first row that puts this file into a split
    problems = []
    for entry in entries:
        split, group = entry["split"], entry["video_id"]
        if split is None:
            continue
        if group not in first_entries:
            first_entries[group] = entry
        first = first_entries[group]
        if first["split"] != split:
            message = (
                f"split {split}, but line {first['line']} puts {quote(first['path'])} into {first['split']}:"
                " all clips of one file must be in one split"
            )
            problems.append(Problem(entry["line"], message))
    return problems


def raise_problems(file_path: str, problems: list[Problem]) -> None:
    """Raise one UserError with all problems, sorted by line. Do nothing if there are none."""
    if not problems:
        return
    unique_problems = dict.fromkeys(problems)  # a dictionary, since a set has no order
    messages = [f"line {line}: {message}" for line, message in sorted(unique_problems, key=itemgetter(0))]
    if len(messages) == 1:
        raise UserError(f"{file_path}: {messages[0]}")
    head = f"{file_path}: {len(messages)} problems, correct each:"
    more = [f"and {len(messages) - MAX_PROBLEMS} more"] if len(messages) > MAX_PROBLEMS else []
    raise UserError("\n  ".join([head, *messages[:MAX_PROBLEMS], *more]))


def _csv_rows(text: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row that is not blank. Append what is wrong with the others to `problems`.

    line: where the row begins; a field in quotes may continue on the next lines.
    """
    for number, line_text in enumerate(io.StringIO(text, newline=""), 1):
        if match := NOT_UTF8_BYTE.search(line_text):
            byte, column = ord(match[0]) - SURROGATE_OFFSET, match.start() + 1
            message = f"not UTF-8 (byte 0x{byte:02x}, column {column}): save it as UTF-8"
            problems.append(Problem(number, message))
        if "\0" in line_text:
            problems.append(Problem(number, "a NUL byte: this is no text file, or a damaged one"))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:  # not a `for` loop: an error would end it, but the reader can go on with the next line
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            is_unclosed = "end of data" in str(e) or "limit" in str(e)
            reason = "a quote that is never closed" if is_unclosed else str(e)
            message = f"broken quoting ({reason}): write a quote inside quotes twice"
            problems.append(Problem(line, message))
            continue
        if any(value.strip() for value in values):
            yield line, values


def _parse_header(line: int, header: list[str], problems: list[Problem]) -> list[str]:
    """Return the names of the columns, without blanks around them. Append what is wrong to `problems`."""
    columns = [name.strip() for name in header]
    if any(map(NOT_UTF8_BYTE.search, columns)) or not columns:
        return columns
    if "path" in columns and not set(SIDES).isdisjoint(columns):
        message = "columns path and audio or video: name one file by path, or two by audio and video"
        problems.append(Problem(line, message))
    if {"path", *SIDES}.isdisjoint(columns):
        other_delimiters = [d for d in ";\t|" if d in columns[0]] if len(columns) == 1 else []
        if other_delimiters:
            delimiter = quote(other_delimiters[0])
            message = f"no column path: separate columns by commas, not by {delimiter}"
            problems.append(Problem(line, message))
            return columns
        message = f"no column path: the header must be some of {', '.join(COLUMNS)}"
        problems.append(Problem(line, message))
    for name in dict.fromkeys(columns):  # each name once, in the file's order
        if name not in COLUMNS:
            message = f"unknown column {quote(name)}{_nearest_hint(name.lower(), COLUMNS)}"
            problems.append(Problem(line, message))
        elif columns.count(name) > 1:
            message = f"column {name} is there {columns.count(name)} times: keep one"
            problems.append(Problem(line, message))
    return columns


def _parse_row(root: str, line: int, fields: dict[str, str], problems: list[Problem]) -> dict:
    """Return a row as a dictionary with the keys COLUMNS and `line`. Append what is wrong to `problems`.

    root: the user's folder. line: of the file, where the row begins. fields: column -> text.
    """

    def add_problem(message: str) -> None:
        problems.append(Problem(line, message))

    text = {c: v.strip() or None for c, v in fields.items()}
    is_printed = len(problems) < MAX_PROBLEMS  # only then is a hint worth its time
    files: dict[str, str | None] = dict.fromkeys(SIDES)
    for column in ("path", *SIDES):
        if column not in fields or (column in SIDES and not text[column]):
            continue
        path, path_problem = check_path(root, fields[column], column, with_hint=is_printed)
        extension = split_extension(path)[1]
        # A file in the list may have any extension: an unknown one counts as both sound and picture.
        has_side = {"audio": extension not in PICTURE, "video": extension not in SOUND}
        if column in SIDES and not has_side[column]:
            path_problem = path_problem or f"{column} {quote(path)} has no {SIDE_NAMES[column]}, by its name"
        if path_problem:
            add_problem(path_problem)
        files |= {side: path for side in SIDES if column == side or (column == "path" and has_side[side])}
    if "path" not in fields and not any(files.values()):
        add_problem("audio and video are empty: name a file in one of them, or in both")
    clip_id = text.get("clip_id")
    if clip_id and not CLIP_ID.fullmatch(clip_id):
        add_problem(
            f"clip_id {quote(clip_id)} is not safe as a file name: use letters, digits, _ . - (at most 200),"
            " beginning with a letter, a digit or _"
        )
    times = _parse_times(text, problems, line)
    split = text.get("split")
    if split and split not in SPLITS:
        add_problem(f"unknown split {quote(split)}{_nearest_hint(split.lower(), SPLITS)}")
    labels = [" ".join(part.split()) for part in (text.get("labels") or "").split(";")]
    return {
        "path": " + ".join(dict.fromkeys(filter(None, files.values()))),
        **files,
        "clip_id": clip_id,
        **times,
        "labels": [part for part in dict.fromkeys(labels) if part],
        "subject": text.get("subject"),
        "split": split,
        "line": line,
    }


def _parse_times(text: dict[str, str | None], problems: list[Problem], line: int) -> dict[str, float | None]:
    """Return `start`, `end` and SIDE_TIMES of a row, s. Append what is wrong to `problems`.

    text: column -> field. If sound and picture have the same times, only `start` and `end` have them.
    """
    times: dict[str, float | None] = {}
    for column in ("start", "end", *SIDE_TIMES):
        try:
            times[column] = _parse_seconds(text.get(column))
        except ValueError as e:
            times[column] = None
            problems.append(Problem(line, f"{column} {quote(text[column] or '')} is {e}"))
    spans = {}
    for side, prefix in ((None, ""), ("audio", "audio_"), ("video", "video_")):
        own = times[f"{prefix}start"], times[f"{prefix}end"]
        if side and own == (None, None):
            own = times["start"], times["end"]
        elif own[1] is not None and own[1] <= (own[0] or 0.0):
            message = f"{prefix}end {own[1]:g} is not after {prefix}start {own[0] or 0.0:g}"
            problems.append(Problem(line, message))
        spans[side] = own
    if spans["audio"] == spans["video"]:
        return dict.fromkeys(SIDE_TIMES) | {"start": spans["audio"][0], "end": spans["audio"][1]}
    side_times = [*spans["audio"], *spans["video"]]
    return {"start": None, "end": None, **dict(zip(SIDE_TIMES, side_times, strict=True))}


def _parse_seconds(text: str | None) -> float | None:
    """Return the time that a field holds in seconds; None for an empty field (None).

    Raises ValueError for any other text. Its message is the end of a sentence: "start 'x' is <message>".
    """
    if text is None:
        return None
    if not NUMBER.fullmatch(text):
        raise ValueError("not a number of seconds, such as 12.5")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("too large")
    if value < 0:
        raise ValueError("negative: times are seconds from the file's beginning")
    return value + 0.0  # -0.0 becomes 0.0


def _nearest_hint(value: str, allowed: tuple[str, ...]) -> str:
    """Return the end of a message about a wrong `value`: the most similar allowed value, or all of them."""
    similar_values = difflib.get_close_matches(value, allowed, 1, 0.5)
    return f": did you mean {similar_values[0]}?" if similar_values else f": use {', '.join(allowed)}"
