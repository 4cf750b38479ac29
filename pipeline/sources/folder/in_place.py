"""The functions of a source whose clips are files in place.

They are apart from what lists the files, so that the keys of clips do not depend on that code.
"""

import os
import stat
from typing import TYPE_CHECKING

from pipeline.download.step import FileCheck, in_place_outcome
from pipeline.media import members
from pipeline.store.status import Outcome

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams


def check_file(path: str) -> FileCheck:
    """Return whether a file can be read, its size and its modification time, without decoding it.

    The status is `ok`, `corrupt` for an empty file, or `unreadable` if there is no regular file or it cannot
    be opened (then size and time are None). path: or the location of a member of an archive.
    """
    if members.is_member(path):
        return FileCheck(*members.check_member(path))
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # before opening: opening a pipe would wait forever
            file_type = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe or device"
            return FileCheck("unreadable", f"{file_type} where a file should be", None, None)
        # Non-blocking, in case the file has been replaced by a pipe just now.
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except FileNotFoundError:
        detail = "a link to a file that does not exist" if os.path.islink(path) else "no such file"
        return FileCheck("unreadable", detail, None, None)
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        detail = (getattr(e, "strerror", None) or str(e)).lower()
        return FileCheck("unreadable", detail, None, None)
    if not info.st_size:
        return FileCheck("corrupt", "the file is empty", info.st_size, info.st_mtime_ns)
    return FileCheck("ok", "", info.st_size, info.st_mtime_ns)


def stamp(clip: dict) -> list[FileCheck]:
    """Return a check of each file of a clip. It changes when a file does: then the clip is processed again.

    clip: a row of the clip table.
    """
    return [check_file(path) for path in _paths(clip)]


def fetch(clip: dict, data: "DataParams") -> Outcome:
    """Check the files of a clip, which stay in place. The outcome's value is what a media shard holds.

    clip: a row of the clip table.
    """
    return in_place_outcome(clip, {path: check_file(path) for path in _paths(clip)})


def _paths(clip: dict) -> list[str]:
    """Return the paths of a clip's audio and video, which are often one file: then once."""
    return sorted({clip[column] for column in ("audio", "video") if clip[column]})
