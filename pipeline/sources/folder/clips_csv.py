"""Read `clips.csv`, the list of clips in a user's folder. One error names all its problems, by line."""

import csv
import difflib
import errno
import io
import math
import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from operator import itemgetter
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.store.clip_table import CLIP_ID, SPLITS

COLUMNS = ("path", "clip_id", "start", "end", "labels", "subject", "split")
MAX_PROBLEMS = 20  # in one message
MAX_COMPARED_NAMES = 5000  # file names among which a similar one is searched: difflib is slow
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

    A row is a dictionary with the keys COLUMNS and `line` (where the row begins in the file). Empty fields
    are None, or [] for labels. A row with a problem may be missing. Raises UserError if the file cannot be
    read, is not UTF-8 or has no rows.
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
            f"{file_path}: line 1: empty: give it a header with a column path, and a row for each clip"
        )
    columns = _parse_header(line, header, problems)
    entries = []
    row_count = 0
    for line, values in numbered_rows:
        row_count += 1
        if len(values) != len(header):
            message = f"{len(values)} fields where the header has {len(header)}: quote what holds a comma"
            problems.append(Problem(line, message))
        elif "path" in columns:
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

    entries: rows, as `read_clips_csv` returns them. A row without a split has no conflict.
    """
    first_entries: dict[str, dict] = {}  # path -> the first row that puts this file into a split
    problems = []
    for entry in entries:
        split, path = entry["split"], entry["path"]
        if split is None:
            continue
        if path not in first_entries:
            first_entries[path] = entry
        first = first_entries[path]
        if first["split"] != split:
            message = (
                f"split {split}, but line {first['line']} puts {quote(path)} into {first['split']}:"
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


def quote(text: str) -> str:
    """Return `text` in quotes, for a message of one line: escaped if it cannot be printed."""
    return repr(text) if text.isprintable() else ascii(text)


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
    if "path" not in columns:
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
    path, path_problem = _check_path(root, fields["path"], with_hint=is_printed)
    if path_problem:
        add_problem(path_problem)
    clip_id = text.get("clip_id")
    if clip_id and not CLIP_ID.fullmatch(clip_id):
        add_problem(
            f"clip_id {quote(clip_id)} is not safe as a file name: use letters, digits, _ . - (at most 200),"
            " beginning with a letter, a digit or _"
        )
    times: dict[str, float | None] = {}
    for column in ("start", "end"):
        try:
            times[column] = _parse_seconds(text.get(column))
        except ValueError as e:
            times[column] = None
            add_problem(f"{column} {quote(text[column] or '')} is {e}")
    start, end = times["start"], times["end"]
    if end is not None and end <= (start or 0.0):
        add_problem(f"end {end:g} is not after start {start or 0.0:g}")
    split = text.get("split")
    if split and split not in SPLITS:
        add_problem(f"unknown split {quote(split)}{_nearest_hint(split.lower(), SPLITS)}")
    labels = [" ".join(part.split()) for part in (text.get("labels") or "").split(";")]
    return {
        "path": path,
        "clip_id": clip_id,
        "start": start,
        "end": end,
        "labels": [part for part in dict.fromkeys(labels) if part],
        "subject": text.get("subject"),
        "split": split,
        "line": line,
    }


def _check_path(root: str, path: str, with_hint: bool) -> tuple[str, str | None]:
    """Return `path` in its shortest form ("a/../b" becomes "b"), and the message of a problem or None.

    root: the user's folder, in which the path must be. with_hint: whether the message for a missing file
    suggests one with a similar name, which takes time.
    """
    if not path.strip():
        return path, "path is empty"
    if "\0" in path:
        return path, None  # `_csv_rows` reports it
    if path.startswith("/"):
        return path, f"path {quote(path)} is absolute: paths are relative to the folder"
    short = posixpath.normpath(path)
    if short == ".." or short.startswith("../"):
        return path, f"path {quote(path)} leaves the folder: paths must stay inside it"
    full = os.path.join(root, short)
    try:
        os.stat(full)
    except OSError as e:
        # A file that exists but cannot be read is no problem of the list: its row fails with a reason.
        if e.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            return short, None
        if ntpath.isabs(path) or ntpath.splitdrive(path)[0]:  # as on Windows: C:\video.mp4
            return path, f"path {quote(path)} is absolute: paths are relative to the folder"
        if os.path.islink(full):
            return short, f"no file {quote(path)}: it is a link to a file that does not exist"
        hint = _similar_file_hint(root, short) if with_hint else ""
        return short, f"no file {quote(path)} in the folder{hint}"
    return short, None


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


def _similar_file_hint(root: str, path: str) -> str:
    """Return the end of a message: a file that the user may have meant by `path`, which is missing.

    Return an empty text if there is no similar file.
    """
    with_slashes = posixpath.normpath(path.replace("\\", "/"))
    is_inside = not with_slashes.startswith(("..", "/"))
    if with_slashes != path and is_inside and os.path.exists(os.path.join(root, with_slashes)):
        return f": write {quote(with_slashes)}"
    folder, name = posixpath.split(path)
    names = _file_names(os.path.join(root, folder))
    normalized = _normalize(name)
    similar_name = next((other for other in names if _normalize(other) == normalized), None)
    if similar_name is None and len(names) <= MAX_COMPARED_NAMES:
        similar_name = next(iter(difflib.get_close_matches(name, names, 1, 0.85)), None)
    return f": did you mean {quote(posixpath.join(folder, similar_name))}?" if similar_name else ""


@cache
def _file_names(folder: str) -> list[str]:
    """Return the sorted names of the files in a folder; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _normalize(name: str) -> str:
    """Return `name` in lower case, without blanks around it, and each accented letter as one character."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _nearest_hint(value: str, allowed: tuple[str, ...]) -> str:
    """Return the end of a message about a wrong `value`: the most similar allowed value, or all of them."""
    similar_values = difflib.get_close_matches(value, allowed, 1, 0.5)
    return f": did you mean {similar_values[0]}?" if similar_values else f": use {', '.join(allowed)}"
