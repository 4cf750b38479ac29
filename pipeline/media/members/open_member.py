"""Open and check members of archives by their locations."""

import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline.media.members.media_error import MediaError
from pipeline.media.members.raw_archive import open_archive, stat_archive
from pipeline.store import locations
from pipeline.store.locations import ParquetMember, TarMember
from pipeline.store.status import OK

STALE = (
    "has changed since its members were listed: run `dvc repro --force --single-item clips`, then dvc repro"
)


def check_member(location: str) -> tuple[str, str, int | None, int | None]:
    """Return (status, detail, size, modified) of a member, without reading it.

    size: bytes; 0 in a Parquet file. modified: a number that changes when the archive does, if it is known.
    Both are None if the archive cannot be read.
    """
    try:
        member = _parse(location)
        archive = stat_archive(member.archive)
    except MediaError as e:
        return e.outcome.status, e.outcome.detail, None, None
    if not isinstance(member, TarMember):
        return OK, "", 0, archive.modified
    if member.offset + member.size > archive.size:
        return "unreadable", _explain_stale(member.archive), member.size, archive.modified
    if not member.size:
        return "corrupt", "the file is empty", 0, archive.modified
    return OK, "", member.size, archive.modified


def open_member(location: str) -> BinaryIO:
    """Open the member at a location for reading. Its `name` is an extension, by which ffmpeg may guess.

    Raises MediaError, here and while it is read.
    """
    member = _parse(location)
    if isinstance(member, TarMember):
        return cast(BinaryIO, _Range(member))
    from pipeline.media.members.parquet_values import read_value  # pyarrow.parquet is needed for these only

    return _Value(read_value(member), _safe_name(member.name))


@contextmanager
def local_file(location: str) -> Iterator[str]:
    """Yield the path of a file with the bytes of a member, for a program; it exists in the `with` block.

    location: of a member; the path of a file is yielded as it is. Raises MediaError.
    """
    if not locations.is_member(location):
        yield location
        return
    with tempfile.TemporaryDirectory() as folder, open_member(location) as member:
        path = os.path.join(folder, str(member.name))
        with open(path, "wb") as f:
            shutil.copyfileobj(member, f, 1 << 20)
        yield path


def _parse(location: str) -> TarMember | ParquetMember:
    """Return the member at a location. Raises MediaError if the text is no location of a member."""
    try:
        return locations.parse(location)
    except ValueError as e:
        raise MediaError("unreadable", str(e)) from None


class _Range(io.RawIOBase):
    """The bytes of a member of a tar as a file."""

    def __init__(self, member: TarMember) -> None:
        self.name = _safe_name(member.name)
        self.offset, self.size, self.position = member.offset, member.size, 0
        self.archive = open_archive(member.archive)
        _check_header(self.archive.read_at(member.offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE), member)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(start + offset, 0)
        return self.position

    def read(self, size: int | None = -1) -> bytes:
        length = max(self.size - self.position, 0)
        if size is not None and size >= 0:
            length = min(length, size)
        content = self.archive.read_at(self.offset + self.position, length)
        self.position += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed and hasattr(self, "archive"):
            self.archive.close()
        super().close()


class _Value(io.BytesIO):
    """A value of a Parquet file as a file with a name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _safe_name(name: str) -> str:
    """Return a name that has nothing but the extension of `name`."""
    extension = os.path.splitext(name)[1]
    return f"member{extension}" if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", extension) else "member"


def _check_header(block: bytes, member: TarMember) -> None:
    """Raise MediaError unless `block` is the header of this member of a tar.

    Without this check, an archive that was replaced could give a clip the sound of another one.
    """
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise MediaError("unreadable", _explain_stale(member.archive)) from None
    # A long name, and one that is not ASCII, may be in a header before this one.
    is_here = len(member.name) < tarfile.LENGTH_NAME and member.name.isascii()
    if header.size != member.size or (is_here and header.name != member.name):
        raise MediaError("unreadable", _explain_stale(member.archive))


def _explain_stale(archive: str) -> str:
    return f"{os.path.basename(archive)} {STALE}"
