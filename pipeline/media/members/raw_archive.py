"""The bytes of an archive at any position: of a local file, or of a URL that fsspec opens.

A remote archive is read in blocks by range requests; the last few blocks stay in memory, so consecutive
members cost one request for each block. Any failure is a MediaError.
"""

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from pipeline.media.members.media_error import MediaError

BLOCK_SIZE = 4 << 20  # bytes of a range request for media
MAX_BLOCKS = 8  # in memory for each remote archive that is open
MAX_OPEN = 4  # remote archives that a process keeps open
TIME_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "blob_id", "updated", "generation")


class ArchiveStat(NamedTuple):
    """The state of an archive. size: bytes. modified: a number that changes with the content, if known."""

    size: int
    modified: int | None


class RawArchive(Protocol):
    """An open archive. size: bytes."""

    size: int

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from a position on, or fewer at the end. Raises MediaError."""

    def close(self) -> None:
        """Close it."""


def is_url(archive: str) -> bool:
    """Return whether an archive is a URL and not a path."""
    return "://" in archive


def open_archive(archive: str, block_size: int = BLOCK_SIZE) -> RawArchive:
    """Open an archive. block_size: bytes of a request for a remote one, of which a process has one only.

    archive: a path or URL. Raises MediaError.
    """
    if is_url(archive):
        return _open_remote(archive, block_size, os.getpid())
    return _LocalArchive(archive)


def stat_archive(archive: str) -> ArchiveStat:
    """Return the state of an archive. A remote one is asked once in a process. Raises MediaError."""
    if is_url(archive):
        return _stat_remote(archive)
    local = _LocalArchive(archive)
    local.close()
    return ArchiveStat(local.size, local.modified)


class _LocalArchive:
    """A local archive, with a handle of its own."""

    def __init__(self, path: str) -> None:
        self.name = os.path.basename(path)
        try:
            # Non-blocking: otherwise `open` of a named pipe without a writer would wait forever.
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
        except (OSError, ValueError) as e:
            raise MediaError("unreadable", f"{self.name}: {getattr(e, 'strerror', None) or e}") from None
        info = os.fstat(self.descriptor)
        self.size, self.modified = info.st_size, info.st_mtime_ns
        if not stat.S_ISREG(info.st_mode):
            self.close()
            raise MediaError("unreadable", f"{self.name}: no plain file")

    def read_at(self, position: int, length: int) -> bytes:
        try:
            return os.pread(self.descriptor, length, position)
        except OSError as e:
            raise MediaError("unreadable", f"{self.name}: {e.strerror}") from None

    def close(self) -> None:
        os.close(self.descriptor)


class _RemoteArchive:
    """A remote archive. blocks: those in memory, by their number, in the order of their last use."""

    def __init__(self, archive: str, block_size: int) -> None:
        self.size = stat_archive(archive).size
        self.archive, self.block_size = archive, block_size
        self.file = open_remote_file(archive)
        self.blocks: OrderedDict[int, bytes] = OrderedDict()

    def read_at(self, position: int, length: int) -> bytes:
        end = min(position + length, self.size)
        parts = []
        while position < end:
            number, start = divmod(position, self.block_size)
            part = self._block(number)[start : start + end - position]
            if not part:
                raise MediaError("cut_short", f"{os.path.basename(self.archive)}: ends too early")
            parts.append(part)
            position += len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number not in self.blocks:
            with explain_remote_errors(self.archive):
                self.file.seek(number * self.block_size)
                block = self.file.read(self.block_size)
            if len(block) > self.block_size:
                name = os.path.basename(self.archive)
                raise MediaError("network", f"{name}: its server does not send parts of a file")
            self.blocks[number] = block
            if len(self.blocks) > MAX_BLOCKS:
                self.blocks.popitem(last=False)
        self.blocks.move_to_end(number)
        return self.blocks[number]

    def close(self) -> None:
        """Do nothing: the next member is of the same archive."""


@lru_cache(maxsize=MAX_OPEN)
def _open_remote(archive: str, block_size: int, process_id: int) -> _RemoteArchive:
    """Return a remote archive, always the same one in a process. process_id: keeps a fork from sharing it."""
    return _RemoteArchive(archive, block_size)


def open_remote_file(archive: str) -> Any:
    """Return fsspec's file of a URL, which reads exactly what is asked for. Raises MediaError."""
    import fsspec  # needed for remote archives only

    with explain_remote_errors(archive):
        file_system, path = fsspec.core.url_to_fs(archive)
        return file_system.open(path, "rb", cache_type="none")


@lru_cache(maxsize=100_000)
def _stat_remote(archive: str) -> ArchiveStat:
    import fsspec

    with explain_remote_errors(archive):
        file_system, path = fsspec.core.url_to_fs(archive)
        info = file_system.info(path)
    if not isinstance(info.get("size"), int) or info.get("type") == "directory":
        raise MediaError("unreadable", f"{os.path.basename(archive)}: no file, or its server tells no size")
    times = [str(info[key]) for key in TIME_KEYS if info.get(key) is not None]
    modified = int(hashlib.sha256("\0".join(times).encode()).hexdigest()[:12], 16) if times else None
    return ArchiveStat(info["size"], modified)


@contextmanager
def explain_remote_errors(archive: str) -> Iterator[None]:
    """Turn any failure of fsspec into a MediaError."""
    name = os.path.basename(archive)
    try:
        yield
    except FileNotFoundError:
        raise MediaError("unreadable", f"{name}: not there, or its server fails: {archive}") from None
    except ImportError as e:
        raise MediaError("unreadable", f"{name}: a package for this address is missing ({e})") from None
    except Exception as e:  # every file system raises its own exceptions
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:200]
        raise MediaError("network", f"{name}: cannot be reached ({reason})") from None
