"""Find, download and read the files of published lists: text, CSV and JSON, also compressed by gzip.

`source` is always the path or the URL of a list, as params.yaml has it, and `key` the parameter that has it,
for messages. pipeline.store.list_files reads what is on disk.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from pipeline.errors import UserError
from pipeline.store import list_files
from pipeline.store.atomic import atomic_write
from pipeline.store.list_files import find_list, raise_problems

__all__ = ["find_list", "local_path", "raise_problems", "read_json", "read_rows"]

LISTS = Path("data/lists")  # the folder of downloaded lists
MAX_BYTES = list_files.MAX_BYTES
CONNECT_TIMEOUT, READ_TIMEOUT = 20, 60  # s


def read_rows(source: str, key: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row of a CSV file that is not empty.

    Raises UserError if the file cannot be read.
    """
    yield from list_files.read_rows(_find(source, key), source, key, delimiter, MAX_BYTES)


def read_json(source: str, key: str) -> Any:
    """Return the content of a JSON file. Raises UserError if the file cannot be read."""
    return list_files.read_json(_find(source, key), source, key, MAX_BYTES)


def _find(source: str, key: str) -> Path:
    """Return the path of a list, as `local_path`. Raises UserError also for what the system refuses."""
    try:
        return local_path(source, key)
    except OSError as e:  # such as a name that is too long
        raise list_files.read_error(source, key, e) from None


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
