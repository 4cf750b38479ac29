"""The members of a tar, from its headers alone. The index of a tar is made once and kept in `data/archives`.

Python's tarfile reads a header of any size into memory, and one with a negative size without end. So this
module reads the headers itself: ustar, with the long names of GNU and of pax. Links, devices and sparse
members are listed with the reason why they are not read.

Source: POSIX.1-2008, pax; GNU tar, "Basic Tar Format".
"""

import json
import os
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.media.members import MediaError, RawArchive, open_archive, stat_archive
from pipeline.sources.folder.extensions import MEDIA, split_extension
from pipeline.store.atomic import write_table
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import digest, read_table

FOLDER = Path("data/archives")
FACTS = ("json", "cls", "txt")  # extensions of members with labels and facts
MAX_FACTS = 1 << 16  # bytes of such a member
MAX_ALL_FACTS = 1 << 29  # bytes of all of them in a tar
MAX_MEMBERS = 2_000_000  # with media and facts, of a tar
MAX_LONG_HEADER = 1 << 20  # bytes of a name or of pax records
READ_SIZE = 1 << 16  # bytes of a request to a remote archive
MAX_PADDING = 1 << 20  # zeros after the end, which tar writes to fill its last record
CUT_OFF = "cut off: the members before the end are used"
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
REFUSED = {  # type of a member -> what it is
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("problem", pa.string()),
        ("content", pa.binary()),
    ]
)


class Member(NamedTuple):
    """A member of a tar. offset, size: of its bytes.

    problem: "<status>: <reason>" if it cannot be read, else empty. content: of a small member with facts.
    """

    name: str
    offset: int
    size: int
    problem: str
    content: bytes | None


@dataclass
class TarIndex:
    """The media and facts in a tar, in its order, and lines about the rest."""

    members: list[Member] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_index(archive: str) -> TarIndex:
    """Return the index of a tar: that in `data/archives` if the tar is as it was then, else a new one.

    archive: a path or URL. Raises UserError if it cannot be read, is compressed or no tar.
    """
    try:
        state = stat_archive(archive)
        path = FOLDER / f"{digest(archive, list(state), code_digest(__name__))}.members"
        try:
            table = read_table(path)
        except (OSError, pa.ArrowException):
            index = list_members(archive)
        else:
            notes = json.loads(table.schema.metadata[b"notes"])
            return TarIndex([Member(*row.values()) for row in table.to_pylist()], notes)
    except MediaError as e:
        raise UserError(f"{archive}: {e}") from None
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [member._asdict() for member in index.members]
    schema = SCHEMA.with_metadata({"notes": json.dumps(index.notes)})
    write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return index


def list_members(archive: str) -> TarIndex:
    """Return the index of a tar from its headers. Raises MediaError and UserError as `read_index`."""
    raw = open_archive(archive, READ_SIZE)
    try:
        _check_format(archive, raw.read_at(0, tarfile.BLOCKSIZE))
        return _Headers(archive, raw).read()
    finally:
        raw.close()


def _check_format(archive: str, block: bytes) -> None:
    """Raise UserError if an archive that begins with `block` is compressed or no tar."""
    for signature, program in COMPRESSED.items():
        if block.startswith(signature):
            raise UserError(
                f"{archive}: compressed, so no member is found by its position: unpack it ({program})"
            )
    try:
        if block.strip(b"\0") or not block:
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise UserError(f"{archive}: no tar: download it again, or leave it out of data.archives") from None


class _Headers:
    """Reads the headers of a tar one after the other."""

    def __init__(self, archive: str, raw: RawArchive) -> None:
        self.archive, self.raw = os.path.basename(archive), raw
        self.index = TarIndex()
        self.other_extensions: Counter = Counter()
        self.bad_names = self.facts_bytes = 0

    def read(self) -> TarIndex:
        """Read all of them. A tar that is cut off or damaged gives those before, and a note."""
        try:
            end = self._read_members()
            if self.raw.size - end > MAX_PADDING:
                self._note(f"{self.raw.size - end} bytes after its end, left out")
        except ValueError as e:
            self._note(str(e))
        if self.other_extensions:
            most = ", ".join(f"{n} {extension}" for extension, n in self.other_extensions.most_common(5))
            self._note(f"{self.other_extensions.total()} members not media by extension, left out: {most}")
        if self.bad_names:
            self._note(f"{self.bad_names} members left out: the name is not UTF-8")
        return self.index

    def _note(self, text: str) -> None:
        self.index.notes.append(f"{self.archive}: {text}")

    def _read_members(self) -> int:
        """List the members. Return the position after the last. Raises ValueError for an invalid header."""
        position, name = 0, None  # name, pax: of headers that describe the member after them
        pax: dict[bytes, bytes] = {}
        while True:
            if position > self.raw.size or (position == self.raw.size and (name or pax)):
                raise ValueError(CUT_OFF)
            if len(self.index.members) > MAX_MEMBERS or self.facts_bytes > MAX_ALL_FACTS:
                raise ValueError(f"too many members: those from byte {position} on are left out")
            block = self.raw.read_at(position, tarfile.BLOCKSIZE)
            if not block.strip(b"\0"):  # the end; some programs do not write it
                return position
            header = self._parse(block, position)
            data = position + tarfile.BLOCKSIZE
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                pax = _parse_pax(self._read_long(data, header.size))
            elif header.type == tarfile.XGLTYPE:
                if _parse_pax(self._read_long(data, header.size)).keys() & {b"path", b"size"}:
                    raise ValueError(f"a global name or size at byte {position}: what follows is left out")
            elif header.type == tarfile.GNUTYPE_LONGNAME:
                name = self._read_long(data, header.size).rstrip(b"\0")
            elif header.type != tarfile.GNUTYPE_LONGLINK:
                if header.type == tarfile.GNUTYPE_SPARSE:
                    data = self._skip_sparse_map(block, data)
                header.size = _parse_size(pax.get(b"size"), header.size)
                self._add(header, pax.get(b"path", name), data, any(k.startswith(b"GNU.sparse") for k in pax))
                name, pax = None, {}
            has_data = (
                header.isreg() or header.type not in tarfile.SUPPORTED_TYPES or header.type in b"xgLKXS"
            )
            position = data + (-(-header.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if has_data else 0)

    def _parse(self, block: bytes, position: int) -> tarfile.TarInfo:
        if len(block) < tarfile.BLOCKSIZE:
            raise ValueError(CUT_OFF)
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise ValueError(f"damaged at byte {position}: what follows is left out") from None
        if header.size < 0:
            raise ValueError(f"a negative size at byte {position}: what follows is left out")
        return header

    def _read_long(self, position: int, size: int) -> bytes:
        if size > MAX_LONG_HEADER:
            raise ValueError(f"a header of {size} bytes at byte {position}: what follows is left out")
        return self.raw.read_at(position, size)

    def _skip_sparse_map(self, block: bytes, position: int) -> int:
        """Return the position after the blocks that extend the header of a sparse member of GNU."""
        is_extended = bool(block[482])
        while is_extended:
            block = self.raw.read_at(position, tarfile.BLOCKSIZE)
            position += tarfile.BLOCKSIZE
            is_extended = len(block) == tarfile.BLOCKSIZE and bool(block[504])
        return position

    def _add(self, header: tarfile.TarInfo, long_name: bytes | None, data: int, is_sparse: bool) -> None:
        """Add a member to the index, if it is media or facts."""
        name = header.name
        if long_name is not None:
            name = long_name.decode("utf-8", "surrogateescape")
        if header.isdir() or any(p.startswith(".") and p.strip(".") for p in name.split("/")):
            return  # hidden files, as in a folder
        extension = split_extension(name)[1]
        if extension not in MEDIA and extension not in FACTS:
            is_plain = extension.isalnum() and len(extension) <= 8
            self.other_extensions[extension if is_plain else "without extension"] += 1
            return
        try:
            name.encode()
        except UnicodeEncodeError:
            self.bad_names += 1
            return
        problem, content = "", None
        if reason := "a sparse file" if is_sparse else REFUSED.get(header.type):
            problem = f"refused: {reason} in {self.archive}"
        elif not (header.isreg() or header.type not in tarfile.SUPPORTED_TYPES):
            problem = f"refused: no plain file in {self.archive}"
        elif data + header.size > self.raw.size:
            problem = f"corrupt: {self.archive} is cut off in the middle of it"
        elif extension in FACTS:
            if header.size <= MAX_FACTS:
                content = self.raw.read_at(data, header.size)
                self.facts_bytes += header.size
            else:
                problem = f"refused: more than {MAX_FACTS >> 10} KB"
        self.index.members.append(Member(name, data, header.size, problem, content))


def _parse_pax(records: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header. Raises ValueError if they are invalid."""
    values, position, end = {}, 0, len(records.rstrip(b"\0"))
    while position < end:
        length_text = records[position : position + 20].partition(b" ")[0]
        length = int(length_text) if length_text.isdigit() else 0
        record = records[position : position + length]
        key, equals, value = record[len(length_text) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n") or len(record) < length:
            raise ValueError("an invalid pax header: what follows is left out")
        values[key] = value[:-1]
        position += length
    return values


def _parse_size(text: bytes | None, size: int) -> int:
    """Return the size that a pax header sets, or `size` if it sets none."""
    if text is None:
        return size
    if not text.isdigit() or len(text) > 18:
        raise ValueError("an invalid size in a pax header: what follows is left out")
    return int(text)
