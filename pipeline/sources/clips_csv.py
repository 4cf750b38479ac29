"""A `clips.csv`: which clips a user's folder holds. All that is wrong in it is told at once, by line."""

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

from pipeline.errors import UserError
from pipeline.store.clip_table import CLIP_ID, SPLITS

COLUMNS = ("path", "clip_id", "start", "end", "labels", "subject", "split")
SHOWN = 20  # problems told one by one; of more, only the number
FOREIGN = re.compile("[\udc80-\udcff]")  # bytes that were not UTF-8, as `surrogateescape` decodes them
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


Problems = list[tuple[int, str]]  # (line, what is wrong there)


def read(root: str, name: str) -> tuple[list[dict], Problems]:
    """The rows of `root`/`name`, in its order, and what is wrong with them: see `fail`, `twice`, `torn`.

    A row is a dict of COLUMNS and `line`; empty fields are None, or [] for labels. Raises UserError where
    there is nothing to read rows from.
    """
    where = os.path.join(root, name)
    try:
        with open(where, "rb") as f:
            raw = f.read()
    except OSError as e:
        raise UserError(f"{where}: cannot be read: {e.strerror}") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{where}: line 1: UTF-16, not UTF-8: save it as UTF-8")
    # Bytes that are not UTF-8 become lone surrogates, so that every line with some can be named.
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    problems: Problems = []
    lines = _rows(text, problems)
    line, header = next(lines, (1, []))
    if not header and not problems:
        raise UserError(
            f"{where}: line 1: empty: give it a header with a column path, and a row for each clip"
        )
    columns = _header(line, header, problems)
    entries = []
    rows = 0
    for line, values in lines:
        rows += 1
        if len(values) != len(header):
            problems.append(
                (line, f"{len(values)} fields where the header has {len(header)}: quote what holds a comma")
            )
        elif "path" in columns:
            fields = {c: v for c, v in zip(columns, values, strict=True) if c in COLUMNS}
            if not any(map(FOREIGN.search, fields.values())):  # those lines are told already
                entry = _entry(root, line, fields, problems)
                if entry["path"].strip():
                    entries.append(entry)
    if not rows and not problems:
        raise UserError(f"{where}: line {line}: a header and no rows: add a row for each clip")
    return entries, problems


def twice(entries: list[dict]) -> Problems:
    """Every row whose `clip_id` an earlier one has already; `made` marks ids that the user did not give."""
    first: dict[str, dict] = {}
    problems = []
    for e in entries:
        other = first.setdefault(e["clip_id"], e)
        if other is e:
            continue
        if e.get("made") and other.get("made"):
            what = (
                f"the same clip of {show(e['path'])} as line {other['line']}: one row holds all labels, a;b"
            )
        else:
            what = f"clip_id {show(e['clip_id'])} is a duplicate of line {other['line']}: each needs its own"
        problems.append((e["line"], what))
    return problems


def torn(entries: list[dict]) -> Problems:
    """Every row that puts a file into another split than an earlier row does."""
    first: dict[str, dict] = {}
    problems = []
    for e in entries:
        if e["split"] is None:
            continue
        other = first.setdefault(e["path"], e)
        if other["split"] != e["split"]:
            what = (
                f"split {e['split']}, but line {other['line']} puts {show(e['path'])} into {other['split']}:"
                " what is cut from one file must be on one side"
            )
            problems.append((e["line"], what))
    return problems


def fail(where: str, problems: Problems) -> None:
    """Raise one UserError with all `problems` (line, what), if there are any."""
    if not problems:
        return
    told = [f"line {line}: {what}" for line, what in sorted(dict.fromkeys(problems), key=lambda p: p[0])]
    if len(told) == 1:
        raise UserError(f"{where}: {told[0]}")
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    raise UserError("\n  ".join([f"{where}: {len(told)} problems, correct each:", *told[:SHOWN], *more]))


def show(text: str) -> str:
    """`text` for a message of one line: as it is where that can be printed, else escaped."""
    return repr(text) if text.isprintable() else ascii(text)


def _rows(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, fields) of each row that is not blank; broken ones become problems."""
    for n, written in enumerate(io.StringIO(text, newline=""), 1):
        if bad := FOREIGN.search(written):
            byte = ord(bad[0]) - 0xDC00
            problems.append((n, f"not UTF-8 (byte 0x{byte:02x}, column {bad.start() + 1}): save it as UTF-8"))
        if "\0" in written:
            problems.append((n, "a NUL byte: this is no text file, or a damaged one"))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as e:  # the reader goes on with the line after
            what = "a quote that is never closed" if "end of data" in str(e) or "limit" in str(e) else str(e)
            problems.append((line, f"broken quoting ({what}): write a quote inside quotes twice"))
            continue
        if any(v.strip() for v in values):
            yield line, values


def _header(line: int, header: list[str], problems: Problems) -> list[str]:
    """The column names, stripped; problems with them are appended."""
    columns = [h.strip() for h in header]
    if any(map(FOREIGN.search, columns)) or not columns:
        return columns
    if "path" not in columns:
        delimiter = next((d for d in ";\t|" if len(columns) == 1 and d in columns[0]), None)
        if delimiter:
            problems.append((line, f"no column path: separate columns by commas, not by {show(delimiter)}"))
            return columns
        problems.append((line, f"no column path: the header must be some of {', '.join(COLUMNS)}"))
    for c in dict.fromkeys(columns):
        if c not in COLUMNS:
            problems.append((line, f"unknown column {show(c)}{_near(c.lower(), COLUMNS)}"))
        elif columns.count(c) > 1:
            problems.append((line, f"column {c} stands {columns.count(c)} times: keep one"))
    return columns


def _entry(root: str, line: int, fields: dict[str, str], problems: Problems) -> dict:
    """One row, checked field by field; what is wrong is appended to `problems`."""

    def wrong(what: str) -> None:
        problems.append((line, what))

    text = {c: v.strip() or None for c, v in fields.items()}
    path, trouble = _path(root, fields["path"], hint=len(problems) < SHOWN)
    if trouble:
        wrong(trouble)
    clip_id = text.get("clip_id")
    if clip_id and not CLIP_ID.fullmatch(clip_id):
        wrong(
            f"clip_id {show(clip_id)} is not safe as a file name: use letters, digits, _ . - (at most 200),"
            " beginning with a letter, a digit or _"
        )
    times: dict[str, float | None] = {}
    for c in ("start", "end"):
        try:
            times[c] = _seconds(text.get(c))
        except ValueError as e:
            times[c] = None
            wrong(f"{c} {show(text[c] or '')} is {e}")
    start, end = times["start"], times["end"]
    if end is not None and end <= (start or 0.0):
        wrong(f"end {end:g} is not after start {start or 0.0:g}")
    split = text.get("split")
    if split and split not in SPLITS:
        wrong(f"unknown split {show(split)}{_near(split.lower(), SPLITS)}")
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


def _path(root: str, path: str, hint: bool) -> tuple[str, str | None]:
    """(`path` in its shortest form, what is wrong with it or None)."""
    if not path.strip():
        return path, "path is empty"
    if "\0" in path:
        return path, None  # told already
    if path.startswith("/"):
        return path, f"path {show(path)} is absolute: paths are relative to the folder"
    short = posixpath.normpath(path)
    if short == ".." or short.startswith("../"):
        return path, f"path {show(path)} leaves the folder: paths must stay inside it"
    full = os.path.join(root, short)
    try:
        os.stat(full)
    except OSError as e:
        # One that is there but may not be looked at is no mistake in the list: a row with a reason.
        if e.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            return short, None
        if ntpath.isabs(path) or ntpath.splitdrive(path)[0]:
            return path, f"path {show(path)} is absolute: paths are relative to the folder"
        if os.path.islink(full):
            return short, f"no file {show(path)}: it is a link to nothing"
        return short, f"no file {show(path)} in the folder{_similar(root, short) if hint else ''}"
    return short, None


def _seconds(text: str | None) -> float | None:
    """A time in seconds, or None for an empty field; ValueError says what it is instead."""
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


def _similar(root: str, path: str) -> str:
    """A hint: the file that was probably meant by the missing `path`."""
    slashes = posixpath.normpath(path.replace("\\", "/"))
    if (
        slashes != path
        and not slashes.startswith(("..", "/"))
        and os.path.exists(os.path.join(root, slashes))
    ):
        return f": write {show(slashes)}"
    folder, name = posixpath.split(path)
    names = _names(os.path.join(root, folder))
    plain = _plain(name)
    near = next((n for n in names if _plain(n) == plain), None)
    if near is None and len(names) <= 5000:  # difflib is slow
        near = next(iter(difflib.get_close_matches(name, names, 1, 0.85)), None)
    return f": did you mean {show(posixpath.join(folder, near))}?" if near else ""


@cache
def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _plain(name: str) -> str:
    """`name` without regard to case, blanks around it, and how its accents are encoded."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _near(value: str, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(value, allowed, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f": use {', '.join(allowed)}"
