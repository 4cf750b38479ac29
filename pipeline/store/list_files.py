"""Read published lists on disk: text, CSV and JSON, also compressed by gzip.

`source` is the path or the URL of a list, as params.yaml has it, and `key` the parameter that has it, for
messages.
"""

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import UserError

MAX_BYTES = 500 << 20  # of one list; the largest published one has 100 MB
MAX_PROBLEMS = 20  # in one message
READ_ERRORS = (OSError, EOFError, zlib.error, UnicodeDecodeError)  # of a text file and of a gzip file


def read_rows(
    path: str | Path, source: str, key: str, delimiter: str = ",", max_bytes: int = MAX_BYTES
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row of a CSV file that is not empty.

    Raises UserError if the file cannot be read.
    """
    try:
        with _open_text(path, source, key, max_bytes) as f:
            reader = csv.reader(f, delimiter=delimiter, skipinitialspace=True, strict=True)
            for row in reader:
                if row and any(row):
                    yield reader.line_num, row
    except (csv.Error, *READ_ERRORS) as e:
        raise read_error(source, key, e) from None


def read_json(path: str | Path, source: str, key: str, max_bytes: int = MAX_BYTES) -> Any:
    """Return the content of a JSON file. Raises UserError if the file cannot be read."""
    try:
        with _open_text(path, source, key, max_bytes) as f:
            content = json.load(f)
        json.dumps(content, ensure_ascii=False).encode()  # raises ValueError for half a character ("\\ud800")
        return content
    except (ValueError, RecursionError, *READ_ERRORS) as e:
        raise read_error(source, key, e) from None


def search_list(folder: str, name: str) -> str | None:
    """Return the path of the list `name` in a folder, perhaps with .gz after its name; None: not there."""
    path = os.path.join(os.path.expanduser(folder), name)
    return next((candidate for candidate in (path, f"{path}.gz") if os.path.exists(candidate)), None)


def find_list(folder: str, name: str, key: str) -> str:
    """Return the path of the list `name` in a folder, perhaps with .gz after its name.

    Raises UserError if it is not there.
    """
    if path := search_list(folder, name):
        return path
    raise UserError(f"{key}: no {name} in {folder}: download it, or set {key} to where it is")


def raise_problems(source: str, key: str, problems: list[str]) -> None:
    """Raise UserError with the problems of a list on one line, if it has any."""
    if problems:
        problems = [" ".join(problem.split()) for problem in problems]  # a quoted field may have line ends
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise UserError(f"{key}: {source}: {'; '.join(problems[:MAX_PROBLEMS])}{more}")


def _open_text(path: str | Path, source: str, key: str, max_bytes: int) -> TextIO:
    """Open a list. Raises UserError if a compressed one is too large, and READ_ERRORS."""
    if Path(path).suffix != ".gz":
        return open(path, newline="", encoding="utf-8-sig")
    with gzip.open(path) as f:
        content = f.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UserError(f"{key}: {source}: over {max_bytes >> 20} MB when decompressed: this is no list")
    return io.StringIO(content.decode("utf-8-sig"), newline="")


def read_error(source: str, key: str, error: Exception) -> UserError:
    """Return the error for a list that cannot be read. error: the reason."""
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{key}: {source}: cannot be read: {error.strerror}")
    if isinstance(error, csv.Error | UnicodeDecodeError):
        return UserError(f"{key}: {source}: broken quoting or not UTF-8 ({error}): download it again")
    return UserError(f"{key}: {source}: not JSON, or damaged ({type(error).__name__}: {error})")
