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

from pipeline.errors import UserError
from pipeline.store.clip_table import CLIP_ID, SPLITS

COLUMNS = ("path", "clip_id", "start", "end", "labels", "subject", "split")
MAX_PROBLEMS = 20  # in one message
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as `surrogateescape` decodes them
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


Problems = list[tuple[int, str]]  # (line, message)


def read(root: str, name: str) -> tuple[list[dict], Problems]:
    """Return the rows of the file `name` in the folder `root`, in its order, and the problems in it.

    A row is a dict of COLUMNS and `line`; empty fields are None, or [] for labels. `duplicates` and
    `split_conflicts` find further problems, `raise_problems` raises them. Raises UserError if the file cannot
    be read, is not UTF-8 or has no rows.
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
    problems: Problems = []
    lines = _rows(text, problems)
    line, header = next(lines, (1, []))
    if not header and not problems:
        raise UserError(
            f"{file_path}: line 1: empty: give it a header with a column path, and a row for each clip"
        )
    columns = _header(line, header, problems)
    entries = []
    row_count = 0
    for line, values in lines:
        row_count += 1
        if len(values) != len(header):
            problems.append(
                (line, f"{len(values)} fields where the header has {len(header)}: quote what holds a comma")
            )
        elif "path" in columns:
            fields = {c: v for c, v in zip(columns, values, strict=True) if c in COLUMNS}
            if not any(map(NOT_UTF8.search, fields.values())):  # `_rows` reports those lines
                entry = _entry(root, line, fields, problems)
                if entry["path"].strip():
                    entries.append(entry)
    if not row_count and not problems:
        raise UserError(f"{file_path}: line {line}: a header and no rows: add a row for each clip")
    return entries, problems


def duplicates(entries: list[dict]) -> Problems:
    """Return a problem for every row whose `clip_id` an earlier row has.

    `has_generated_id` marks rows whose id is not from the file: then both rows are the same cut of one file.
    """
    first: dict[str, dict] = {}
    problems = []
    for e in entries:
        other = first.setdefault(e["clip_id"], e)
        if other is e:
            continue
        if e.get("has_generated_id") and other.get("has_generated_id"):
            message = f"the same clip of {show(e['path'])} as line {other['line']}: use one row, labels a;b"
        else:
            message = (
                f"clip_id {show(e['clip_id'])} is a duplicate of line {other['line']}: make each id unique"
            )
        problems.append((e["line"], message))
    return problems


def split_conflicts(entries: list[dict]) -> Problems:
    """Return a problem for every row that puts a file into another split than an earlier row does."""
    first: dict[str, dict] = {}
    problems = []
    for e in entries:
        if e["split"] is None:
            continue
        other = first.setdefault(e["path"], e)
        if other["split"] != e["split"]:
            message = (
                f"split {e['split']}, but line {other['line']} puts {show(e['path'])} into {other['split']}:"
                " all clips of one file must be in one split"
            )
            problems.append((e["line"], message))
    return problems


def raise_problems(file_path: str, problems: Problems) -> None:
    """Raise one UserError with all problems, if there are any."""
    if not problems:
        return
    messages = [
        f"line {line}: {message}" for line, message in sorted(dict.fromkeys(problems), key=itemgetter(0))
    ]
    if len(messages) == 1:
        raise UserError(f"{file_path}: {messages[0]}")
    head = f"{file_path}: {len(messages)} problems, correct each:"
    more = [f"and {len(messages) - MAX_PROBLEMS} more"] if len(messages) > MAX_PROBLEMS else []
    raise UserError("\n  ".join([head, *messages[:MAX_PROBLEMS], *more]))


def show(text: str) -> str:
    """Return `text` in quotes, for a message of one line: escaped if it cannot be printed."""
    return repr(text) if text.isprintable() else ascii(text)


def _rows(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, fields) of each row that is not blank. Broken rows become problems."""
    for number, line_text in enumerate(io.StringIO(text, newline=""), 1):
        if match := NOT_UTF8.search(line_text):
            byte, column = ord(match[0]) - 0xDC00, match.start() + 1
            message = f"not UTF-8 (byte 0x{byte:02x}, column {column}): save it as UTF-8"
            problems.append((number, message))
        if "\0" in line_text:
            problems.append((number, "a NUL byte: this is no text file, or a damaged one"))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as e:  # the reader can go on with the next line
            is_unclosed = "end of data" in str(e) or "limit" in str(e)
            reason = "a quote that is never closed" if is_unclosed else str(e)
            problems.append((line, f"broken quoting ({reason}): write a quote inside quotes twice"))
            continue
        if any(v.strip() for v in values):
            yield line, values


def _header(line: int, header: list[str], problems: Problems) -> list[str]:
    """Return the column names, stripped. Append problems with them."""
    columns = [h.strip() for h in header]
    if any(map(NOT_UTF8.search, columns)) or not columns:
        return columns
    if "path" not in columns:
        delimiter = next((d for d in ";\t|" if len(columns) == 1 and d in columns[0]), None)
        if delimiter:
            problems.append((line, f"no column path: separate columns by commas, not by {show(delimiter)}"))
            return columns
        problems.append((line, f"no column path: the header must be some of {', '.join(COLUMNS)}"))
    for c in dict.fromkeys(columns):
        if c not in COLUMNS:
            problems.append((line, f"unknown column {show(c)}{_nearest_hint(c.lower(), COLUMNS)}"))
        elif columns.count(c) > 1:
            problems.append((line, f"column {c} is there {columns.count(c)} times: keep one"))
    return columns


def _entry(root: str, line: int, fields: dict[str, str], problems: Problems) -> dict:
    """Return one row. Check field by field, and append problems."""

    def add_problem(message: str) -> None:
        problems.append((line, message))

    text = {c: v.strip() or None for c, v in fields.items()}
    path, path_problem = _check_path(root, fields["path"], with_hint=len(problems) < MAX_PROBLEMS)
    if path_problem:
        add_problem(path_problem)
    clip_id = text.get("clip_id")
    if clip_id and not CLIP_ID.fullmatch(clip_id):
        add_problem(
            f"clip_id {show(clip_id)} is not safe as a file name: use letters, digits, _ . - (at most 200),"
            " beginning with a letter, a digit or _"
        )
    times: dict[str, float | None] = {}
    for c in ("start", "end"):
        try:
            times[c] = _seconds(text.get(c))
        except ValueError as e:
            times[c] = None
            add_problem(f"{c} {show(text[c] or '')} is {e}")
    start, end = times["start"], times["end"]
    if end is not None and end <= (start or 0.0):
        add_problem(f"end {end:g} is not after start {start or 0.0:g}")
    split = text.get("split")
    if split and split not in SPLITS:
        add_problem(f"unknown split {show(split)}{_nearest_hint(split.lower(), SPLITS)}")
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
    """Return (`path` in its shortest form, message of a problem or None).

    with_hint: a missing file's message suggests a similar one, which takes time.
    """
    if not path.strip():
        return path, "path is empty"
    if "\0" in path:
        return path, None  # `_rows` reports it
    if path.startswith("/"):
        return path, f"path {show(path)} is absolute: paths are relative to the folder"
    short = posixpath.normpath(path)
    if short == ".." or short.startswith("../"):
        return path, f"path {show(path)} leaves the folder: paths must stay inside it"
    full = os.path.join(root, short)
    try:
        os.stat(full)
    except OSError as e:
        # A file that exists but cannot be read is no problem of the list: its row fails with a reason.
        if e.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            return short, None
        if ntpath.isabs(path) or ntpath.splitdrive(path)[0]:
            return path, f"path {show(path)} is absolute: paths are relative to the folder"
        if os.path.islink(full):
            return short, f"no file {show(path)}: it is a link to a file that does not exist"
        return short, f"no file {show(path)} in the folder{_similar_hint(root, short) if with_hint else ''}"
    return short, None


def _seconds(text: str | None) -> float | None:
    """Return a time in seconds, or None for an empty field. The message of its ValueError follows "is"."""
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


def _similar_hint(root: str, path: str) -> str:
    """Return the end of a message that suggests a file in place of the missing `path`; empty without one."""
    slashes = posixpath.normpath(path.replace("\\", "/"))
    if (
        slashes != path
        and not slashes.startswith(("..", "/"))
        and os.path.exists(os.path.join(root, slashes))
    ):
        return f": write {show(slashes)}"
    folder, name = posixpath.split(path)
    names = _names(os.path.join(root, folder))
    normalized = _normalize(name)
    near = next((n for n in names if _normalize(n) == normalized), None)
    if near is None and len(names) <= 5000:  # difflib is slow
        near = next(iter(difflib.get_close_matches(name, names, 1, 0.85)), None)
    return f": did you mean {show(posixpath.join(folder, near))}?" if near else ""


@cache
def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _normalize(name: str) -> str:
    """Return `name` in lower case, without blanks around it, accents composed."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _nearest_hint(value: str, allowed: tuple[str, ...]) -> str:
    """Return the end of a message that suggests the nearest allowed value, or all of them."""
    near = difflib.get_close_matches(value, allowed, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f": use {', '.join(allowed)}"
