"""The location of a member of an archive: a text that stands in the clip table where the path of a file does.

    tar://<offset>+<size>/<archive>::<member>
    parquet://<row group>.<row>.<column>/<archive>::<name>

The path of a file never looks so: sources write `./` before a path whose first part has a colon.
"""

import re
import urllib.parse
from typing import NamedTuple

SEPARATOR = "::"  # between archive and member; not in the path of an archive
_TAR = re.compile(r"tar://(\d{1,18})\+(\d{1,18})/(.+?)::(.+)", re.DOTALL)
_PARQUET = re.compile(r"parquet://(\d{1,9})\.(\d{1,12})\.([^/]+)/(.+?)::(.+)", re.DOTALL)


class TarMember(NamedTuple):
    """A member of a tar. offset, size: of its bytes. archive: a path or URL. name: as the tar has it."""

    offset: int
    size: int
    archive: str
    name: str

    def __str__(self) -> str:
        return f"tar://{self.offset}+{self.size}/{self.archive}{SEPARATOR}{self.name}"


class ParquetMember(NamedTuple):
    """A value in a Parquet file. row: within the row group. column: of the bytes, such as `audio.bytes`."""

    row_group: int
    row: int
    column: str
    archive: str
    name: str

    def __str__(self) -> str:
        column = urllib.parse.quote(self.column, safe="")
        return f"parquet://{self.row_group}.{self.row}.{column}/{self.archive}{SEPARATOR}{self.name}"


def is_member(location: str) -> bool:
    """Return whether a location is a member of an archive and not the path of a file."""
    return location.startswith(("tar://", "parquet://"))


def parse(location: str) -> TarMember | ParquetMember:
    """Return the member at a location. Raises ValueError if the text is no location of a member."""
    if match := _TAR.fullmatch(location):
        return TarMember(int(match[1]), int(match[2]), match[3], match[4])
    if match := _PARQUET.fullmatch(location):
        column = urllib.parse.unquote(match[3])
        return ParquetMember(int(match[1]), int(match[2]), column, match[4], match[5])
    raise ValueError("not the location of a member of an archive")


def file_path(location: str) -> str:
    """Return the path or URL of the file that a location is in: the archive, for a member."""
    return parse(location).archive if is_member(location) else location
