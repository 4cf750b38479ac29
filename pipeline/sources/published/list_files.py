"""Find, download and read the files of published lists: text, CSV and JSON, also compressed by gzip.

`source` is always the path or the URL of a list, as params.yaml has it, and `key` the parameter that has it,
for messages.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import requests

from pipeline.errors import UserError
from pipeline.store.atomic import atomic_write

LISTS = Path("data/lists")  # the folder of downloaded lists
MAX_BYTES = 500 << 20  # of one list; the largest published one has 100 MB
CONNECT_TIMEOUT, READ_TIMEOUT = 20, 60  # s
MAX_PROBLEMS = 20  # in one message
READ_ERRORS = (OSError, EOFError, zlib.error, UnicodeDecodeError)  # of a text file and of a gzip file


def read_rows(source: str, key: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row of a CSV file that is not empty.

    Raises UserError if the file cannot be read.
    """
    try:
        with _open_text(source, key) as f:
            reader = csv.reader(f, delimiter=delimiter, skipinitialspace=True, strict=True)
            for row in reader:
                if row and any(row):
                    yield reader.line_num, row
    except (csv.Error, *READ_ERRORS) as e:
        raise _read_error(source, key, e) from None


def read_json(source: str, key: str) -> Any:
    """Return the content of a JSON file. Raises UserError if the file cannot be read."""
    try:
        with _open_text(source, key) as f:
            content = json.load(f)
        json.dumps(content, ensure_ascii=False).encode()  # raises ValueError for half a character ("\\ud800")
        return content
    except (ValueError, RecursionError, *READ_ERRORS) as e:
        raise _read_error(source, key, e) from None


def find_list(folder: str, name: str, key: str) -> str:
    """Return the path of the list `name` in a folder, perhaps with .gz after its name.

    Raises UserError if it is not there.
    """
    path = os.path.join(os.path.expanduser(folder), name)
    for candidate in (path, f"{path}.gz"):
        if os.path.exists(candidate):
            return candidate
    raise UserError(f"{key}: no {name} in {folder}: download it, or set {key} to where it is")


def raise_problems(source: str, key: str, problems: list[str]) -> None:
    """Raise UserError with the problems of a list on one line, if it has any."""
    if problems:
        problems = [" ".join(problem.split()) for problem in problems]  # a quoted field may have line ends
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise UserError(f"{key}: {source}: {'; '.join(problems[:MAX_PROBLEMS])}{more}")


def _open_text(source: str, key: str) -> TextIO:
    """Open a list. Raises UserError if a compressed one is too large, and READ_ERRORS."""
    path = local_path(source, key)
    if path.suffix != ".gz":
        return open(path, newline="", encoding="utf-8-sig")
    with gzip.open(path) as f:
        content = f.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(f"{key}: {source}: over {MAX_BYTES >> 20} MB when decompressed: this is no list")
    return io.StringIO(content.decode("utf-8-sig"), newline="")


def _read_error(source: str, key: str, error: Exception) -> UserError:
    """Return the error for a list that cannot be read. error: the reason."""
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{key}: {source}: cannot be read: {error.strerror}")
    if isinstance(error, csv.Error | UnicodeDecodeError):
        return UserError(f"{key}: {source}: broken quoting or not UTF-8 ({error}): download it again")
    return UserError(f"{key}: {source}: not JSON, or damaged ({type(error).__name__}: {error})")


def local_path(source: str, key: str) -> Path:
    """Return the path of a list. If `source` is a URL, it is downloaded into `LISTS` unless it is there.

    Raises UserError if there is no file, or the download fails.
    """
    if not source.startswith(("http://", "https://")):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"{key}: {source}: no such file: give a path or a URL")
        return path
    name = re.sub(r"[^A-Za-z0-9_.]", "_", source.rpartition("/")[2]) or "list"
    path = LISTS / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{name}"
    if path.exists():
        return path
    try:
        _download(source, path, key)
    except requests.RequestException as e:
        reason = f"status {e.response.status_code}" if e.response is not None else type(e).__name__
        raise UserError(
            f"{key}: {source}: cannot be downloaded ({reason}): try again, or download it and give its path"
        ) from None
    return path


def _download(url: str, path: Path, key: str) -> None:
    """Download a list to `path`. The file appears there complete or not at all.

    key: of the parameter, for messages. Raises UserError if the file is too large or incomplete, and
    requests.RequestException if the server cannot be reached or refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with requests.get(url, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as response:
        response.raise_for_status()
        with atomic_write(path) as temporary_path, open(temporary_path, "wb") as f:
            size = 0
            for block in response.iter_content(1 << 20):  # 1 MB
                size += len(block)
                if size > MAX_BYTES:
                    raise UserError(f"{key}: {url}: over {MAX_BYTES >> 20} MB: this is no list")
                f.write(block)
            expected_size = response.headers.get("Content-Length")
            is_compressed = bool(response.headers.get("Content-Encoding"))  # then the sizes differ
            if expected_size and not is_compressed and size != int(expected_size):
                message = f"only {size} of {expected_size} bytes were downloaded: run again"
                raise UserError(f"{key}: {url}: {message}")
