"""Where the values of shards lie: beside their accounts, in another folder (NFS), or where fsspec reaches.

A place is a path, or an address such as `s3://bucket/earsight/wav/00000-3fa2.parquet`. With `engine.storage`
a file's name says what is in it, so that it is never changed: an older state of the project still finds its
own, and a copy in the cache is never out of date. Options of a file system come from its usual environment
variables (AWS_ENDPOINT_URL, AWS_PROFILE, ...).
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

from pipeline.errors import UserError, of_disk
from pipeline.store.atomic import written

# A file that is put there is whole or not there; elsewhere it gets its name when it is whole.
OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"}
NEEDS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
COPY = re.compile(r"[0-9a-f]{16}-\d{5,}-[0-9a-f]{32}\.\w+")  # the name of a copy in the cache
IN_USE = 60.0  # seconds for which a copy that was just asked for stays, however full the cache is


def normal(storage: str | None) -> str | None:
    """`engine.storage` as it begins the name of a place: absolute, without a slash at the end."""
    if storage is None:
        return None
    storage = storage.removeprefix("file://")
    return (storage if _remote(storage) else str(Path(storage).expanduser().absolute())).rstrip("/")


@contextmanager
def put(place: str) -> Iterator[Path]:
    """A temporary path whose file lies at `place` once the block ends well, whole or not at all."""
    if not _remote(place):
        with written(Path(place)) as part:
            yield part
        return
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / place.rpartition("/")[2]
        yield part
        with _told(place) as (fs, inner):
            if place.partition("://")[0] in OBJECTS:
                fs.put_file(str(part), inner)
                return
            before = f"{inner}.{secrets.token_hex(4)}.tmp"
            fs.put_file(str(part), before)
            fs.mv(before, inner)


def local(place: str | Path) -> Path:
    """A file of this machine with what lies at `place`: itself, or a copy in the cache.

    Copies are kept up to EARSIGHT_CACHE_GB (default 20) in EARSIGHT_CACHE (default ~/.cache/earsight); those
    that were not asked for the longest go first. Whoever has one open keeps it.
    """
    place = str(place)
    if not _remote(place):
        return Path(place)
    folder = Path(os.environ.get("EARSIGHT_CACHE") or Path.home() / ".cache" / "earsight")
    made = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
    copy = folder / f"{made}-{place.rpartition('/')[2]}"
    try:
        os.utime(copy)
        return copy
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
    with written(copy) as part, _told(place) as (fs, inner):
        fs.get_file(inner, str(part))
    _bound(folder, float(os.environ.get("EARSIGHT_CACHE_GB") or 20) * 2**30)
    return copy


def names(folder: str) -> set[str]:
    """The files of a folder; none where it is not there."""
    if not _remote(folder):
        return set(os.listdir(folder)) if os.path.isdir(folder) else set()
    with _told(folder) as (fs, inner):
        fs.invalidate_cache()
        try:
            return {name.rpartition("/")[2] for name in fs.ls(inner, detail=False)}
        except FileNotFoundError:
            return set()


def check(folder: str) -> None:
    """Make a folder ready to be written. Raises UserError, before any work, where it cannot be."""
    name = f".writable-{secrets.token_hex(4)}"
    if _remote(folder):
        with _told(folder) as (fs, inner):
            if folder.partition("://")[0] not in OBJECTS:
                fs.makedirs(inner, exist_ok=True)
            fs.pipe_file(f"{inner}/{name}", b"")
            fs.rm_file(f"{inner}/{name}")
        return
    try:
        os.makedirs(folder, exist_ok=True)
        (Path(folder) / name).touch()
        (Path(folder) / name).unlink()
    except OSError as e:
        raise UserError(f"engine.storage: {folder}: cannot be written ({e.strerror})") from None


def _remote(place: str) -> bool:
    return "://" in place


@contextmanager
def _told(place: str) -> Iterator[tuple[Any, str]]:
    """The file system of a place, and its name there; whatever goes wrong is told in one line."""
    import fsspec  # not where all lies in files

    scheme = place.partition("://")[0]
    try:
        yield fsspec.core.url_to_fs(place)
    except FileNotFoundError as e:
        raise UserError(f"engine.storage: {place}: not there ({e})") from None
    except ImportError:
        more = f": uv pip install {NEEDS[scheme]}" if scheme in NEEDS else ""
        raise UserError(f"engine.storage: {place}: a package for {scheme}:// is missing{more}") from None
    except UserError:
        raise
    except Exception as e:  # each file system has errors of its own
        if isinstance(e, OSError) and (told := of_disk(e, "EARSIGHT_CACHE")):  # of this machine's
            raise told from None
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:300]
        raise UserError(f"engine.storage: {place}: cannot be reached ({reason})") from None


def _bound(folder: Path, most: float) -> None:
    """Delete the copies that were not asked for the longest until the rest fits."""
    known = []
    for path in folder.iterdir():
        if not COPY.fullmatch(path.name):  # somebody else's
            continue
        with contextlib.suppress(OSError):  # another process was faster
            known.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(s for _, s, _ in known)
    for when, bytes_, path in sorted(known):
        if size <= most or when > time.time() - IN_USE:
            return
        path.unlink(missing_ok=True)
        size -= bytes_
