"""Write and read the files of shards: on this machine, in another folder (NFS), or in a remote file system.

A location is the path of a file, or a URL such as `s3://bucket/earsight/wav/00000-3fa2.parquet`, which fsspec
opens. With `engine.storage` the file name contains a hash of the content, and a file is never changed. So an
older state of the project still finds its files, and a local copy (in the cache) is never outdated. The
options of a remote file system come from its usual environment variables (AWS_PROFILE, ...).
"""

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, explain_disk_error
from pipeline.store.atomic import atomic_write

# URL schemes of object stores: an upload is atomic. In other file systems a file is uploaded, then renamed.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"}
# URL scheme -> the Python package that opens it.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
CACHED_NAME = re.compile(r"[0-9a-f]{16}-\d{5,}-[0-9a-f]{32}\.\w+")  # the name of a copy in the cache
SECONDS_IN_USE = 60.0  # a copy is not deleted so soon after its last use, even if the cache is full
DEFAULT_CACHE_GB = 20.0


def normalize(storage: str | None) -> str | None:
    """Return the parameter `engine.storage` as a prefix of locations; None if it is null.

    It is an absolute path or a URL, without a slash at the end.
    """
    if storage is None:
        return None
    storage = storage.removeprefix("file://")
    return (storage if _is_remote(storage) else str(Path(storage).expanduser().absolute())).rstrip("/")


@contextmanager
def store_file(location: str) -> Iterator[Path]:
    """Yield a temporary path; its file is stored at `location` when the `with` block ends without an error.

    Other processes see the whole file or none.
    """
    if not _is_remote(location):
        with atomic_write(Path(location)) as temporary_path:
            yield temporary_path
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary_path = Path(folder) / location.rpartition("/")[2]
        yield temporary_path
        with _file_system(location) as (fs, path):
            if location.partition("://")[0] in OBJECT_STORES:
                fs.put_file(str(temporary_path), path)
                return
            upload_path = f"{path}.{secrets.token_hex(4)}.tmp"
            fs.put_file(str(temporary_path), upload_path)
            fs.mv(upload_path, path)


def local_path(location: str | Path) -> Path:
    """Return the local path of the file at `location`. A remote file is copied to the cache first.

    The cache is the folder EARSIGHT_CACHE (default ~/.cache/earsight) and holds up to EARSIGHT_CACHE_GB
    (default 20); the copies that were used least recently are deleted first. A process that has a deleted
    copy open can still read it.
    """
    location = str(location)
    if not _is_remote(location):
        return Path(location)
    folder = Path(os.environ.get("EARSIGHT_CACHE") or Path.home() / ".cache" / "earsight")
    location_hash = hashlib.blake2b(location.encode(), digest_size=8).hexdigest()
    copy = folder / f"{location_hash}-{location.rpartition('/')[2]}"
    try:
        os.utime(copy)  # note the use of the copy, or raise FileNotFoundError if there is none
        return copy
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(copy) as temporary_path, _file_system(location) as (fs, path):
        fs.get_file(path, str(temporary_path))
    _limit_cache(folder, float(os.environ.get("EARSIGHT_CACHE_GB") or DEFAULT_CACHE_GB) * 2**30)
    return copy


def list_names(folder: str) -> set[str]:
    """Return the names of the files in a folder (path or URL); an empty set if the folder does not exist."""
    if not _is_remote(folder):
        return set(os.listdir(folder)) if os.path.isdir(folder) else set()
    with _file_system(folder) as (fs, path):
        fs.invalidate_cache()  # fsspec keeps earlier lists of names
        try:
            return {name.rpartition("/")[2] for name in fs.ls(path, detail=False)}
        except FileNotFoundError:
            return set()


def check_writable(folder: str) -> None:
    """Raise UserError if no file can be written to a folder (path or URL); create it if necessary."""
    name = f".writable-{secrets.token_hex(4)}"
    if _is_remote(folder):
        with _file_system(folder) as (fs, path):
            if folder.partition("://")[0] not in OBJECT_STORES:
                fs.makedirs(path, exist_ok=True)
            fs.pipe_file(f"{path}/{name}", b"")
            fs.rm_file(f"{path}/{name}")
        return
    try:
        os.makedirs(folder, exist_ok=True)
        (Path(folder) / name).touch()
        (Path(folder) / name).unlink()
    except OSError as e:
        raise UserError(f"engine.storage: {folder}: cannot be written ({e.strerror})") from None


def _is_remote(location: str) -> bool:
    """Return whether a location is a URL and not a path."""
    return "://" in location


@contextmanager
def _file_system(location: str) -> Iterator[tuple[Any, str]]:
    """Yield fsspec's file system of a remote location, and the path of the location in it.

    Any failure inside the `with` block becomes a UserError.
    """
    import fsspec  # needed for remote locations only

    scheme = location.partition("://")[0]
    try:
        yield fsspec.core.url_to_fs(location)
    except FileNotFoundError as e:
        raise UserError(f"engine.storage: {location}: not there ({e})") from None
    except ImportError:
        advice = f": uv pip install {PACKAGES[scheme]}" if scheme in PACKAGES else ""
        raise UserError(f"engine.storage: {location}: a package for {scheme}:// is missing{advice}") from None
    except UserError:
        raise
    except Exception as e:  # every file system raises its own exceptions
        # A full disk is one of this machine, where the copy is written.
        if isinstance(e, OSError) and (error := explain_disk_error(e, "EARSIGHT_CACHE")):
            raise error from None
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:300]
        raise UserError(f"engine.storage: {location}: cannot be reached ({reason})") from None


def _limit_cache(folder: Path, max_bytes: float) -> None:
    """Delete the least recently used copies in the cache until the rest fits into `max_bytes`."""
    copies = []  # (time of the last use, size in bytes, path)
    for path in folder.iterdir():
        if not CACHED_NAME.fullmatch(path.name):  # not a file of this cache
            continue
        with contextlib.suppress(OSError):  # another process deleted it
            copies.append((path.stat().st_mtime, path.stat().st_size, path))
    total_bytes = sum(size for _, size, _ in copies)
    for last_use, size, path in sorted(copies):
        if total_bytes <= max_bytes or last_use > time.time() - SECONDS_IN_USE:
            return
        path.unlink(missing_ok=True)
        total_bytes -= size
