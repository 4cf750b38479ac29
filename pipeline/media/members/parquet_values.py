"""Values of columns of bytes in Parquet files, read row by row: no row group is in memory as a whole."""

import os
from collections import OrderedDict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.media.members.media_error import MediaError
from pipeline.media.members.raw_archive import is_url, open_remote_file, stat_archive
from pipeline.store.locations import ParquetMember

MAX_BYTES = 256 << 20  # of a value, which is in memory as a whole
MAX_READERS = 4  # columns of row groups that a process keeps open: clips are read in their order
PAGE_BUFFER = 1 << 20  # bytes that are read at a time
_readers: OrderedDict[tuple, "_ColumnReader"] = OrderedDict()  # of this process


def open_file(archive: str) -> pq.ParquetFile:
    """Open a Parquet file, without reading more than its footer. Raises MediaError."""
    stat_archive(archive)  # no pipe, device or folder
    source = open_remote_file(archive) if is_url(archive) else pa.OSFile(archive)
    try:
        return pq.ParquetFile(source, pre_buffer=False, buffer_size=PAGE_BUFFER)
    except (pa.ArrowException, OSError) as e:
        raise MediaError("corrupt", f"{os.path.basename(archive)}: {_first_line(e)}") from None


def read_value(member: ParquetMember) -> bytes:
    """Return the bytes of a value. Raises MediaError if there are none."""
    name = f"{os.path.basename(member.archive)}: row {member.row} of row group {member.row_group}"
    key = (os.getpid(), member.archive, member.row_group, member.column)
    try:
        if key not in _readers:
            _readers[key] = _ColumnReader(member)
            if len(_readers) > MAX_READERS:
                _readers.popitem(last=False)
        _readers.move_to_end(key)
        value = _readers[key].read(member.row)
    except (pa.ArrowException, OSError, StopIteration, IndexError, KeyError) as e:
        _readers.pop(key, None)
        reason = "no such row" if isinstance(e, StopIteration) else _first_line(e)
        raise MediaError("corrupt", f"{name}: {reason}") from None
    if not value:
        raise MediaError("unreadable", f"{name}: has no bytes")
    if len(value) > MAX_BYTES:
        raise MediaError("refused", f"{name}: more than {MAX_BYTES >> 20} MB: put such files into a tar")
    return value


class _ColumnReader:
    """The values of one column of a row group, read in their order. row: of `value`, the last one."""

    def __init__(self, member: ParquetMember) -> None:
        self.file = open_file(member.archive)
        self.member = member
        self._restart()

    def _restart(self) -> None:
        self.row, self.value = -1, None
        self.batches = self.file.iter_batches(
            1, [self.member.row_group], [self.member.column], use_threads=False
        )

    def read(self, row: int) -> bytes | None:
        """Return the value of a row; None if it is null. Raises StopIteration if there is no such row."""
        if row < self.row:
            self._restart()
        while self.row < row:
            values: Any = next(self.batches).column(0)
            self.row += 1
            if self.row == row:
                value = values[0].as_py()
                # A column inside a struct is a dictionary with one key.
                self.value = next(iter(value.values())) if isinstance(value, dict) else value
        return self.value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
