"""The paths of the user's folder and of files in it, and the check of those in a list of clips."""

import difflib
import errno
import glob
import ntpath
import os
import posixpath
import unicodedata
from functools import cache

from pipeline.errors import UserError
from pipeline.sources.messages import quote

MAX_COMPARED_NAMES = 5000  # file names among which a similar one is searched: difflib is slow


def resolve(folder: str) -> str:
    """Return the path of the user's folder in the form with which the paths in the clip table begin.

    folder: `data.folder`, as the user wrote it. `~` is expanded, a / at the end is removed, and a relative
    path stays relative. Raises UserError if there is no such folder.
    """
    if not folder.strip():
        raise UserError("data.folder is empty: set it to the path of a folder with videos")
    root = os.path.expanduser(folder)
    root = root.rstrip("/") or "/"
    first_part = root.split("/", 1)[0]
    # Other programs would read a path that begins with - as an option, and one with a : as a URL.
    if first_part.startswith("-") or ":" in first_part:
        root = "./" + root
    if os.path.isdir(root):
        return root
    if os.path.lexists(root):
        raise UserError(f"{root}: not a folder: data.folder must be a folder of videos, not one file")
    hint = ""
    if "://" in folder or glob.has_magic(folder) or "{" in folder:
        hint = "; URLs and patterns of archives belong in data.archives (data.source=archive)"
    raise UserError(
        f"{root}: no such folder: make it and put videos there, or set data.folder to another one{hint}"
    )


def join(root: str, path: str) -> str:
    """Return the path `root`/`path`, with forward slashes on every system."""
    return os.path.join(root, path).replace(os.sep, "/")


def check_path(root: str, path: str, column: str, with_hint: bool) -> tuple[str, str | None]:
    """Return `path` in its shortest form ("a/../b" becomes "b"), and the message of a problem or None.

    root: the user's folder, in which the path must be. column: of the list, for the message. with_hint:
    whether the message for a missing file suggests one with a similar name, which takes time.
    """
    if not path.strip():
        return path, f"{column} is empty"
    if "\0" in path:
        return path, None  # `_csv_rows` reports it
    if path.startswith("/"):
        return path, f"{column} {quote(path)} is absolute: paths are relative to the folder"
    short = posixpath.normpath(path)
    if short == ".." or short.startswith("../"):
        return path, f"{column} {quote(path)} leaves the folder: paths must stay inside it"
    full = os.path.join(root, short)
    try:
        os.stat(full)
    except OSError as e:
        # A file that exists but cannot be read is no problem of the list: its row fails with a reason.
        if e.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            return short, None
        if ntpath.isabs(path) or ntpath.splitdrive(path)[0]:  # as on Windows: C:\video.mp4
            return path, f"{column} {quote(path)} is absolute: paths are relative to the folder"
        if os.path.islink(full):
            return short, f"no file {quote(path)}: it is a link to a file that does not exist"
        hint = _similar_file_hint(root, short) if with_hint else ""
        return short, f"no file {quote(path)} in the folder{hint}"
    return short, None


def _similar_file_hint(root: str, path: str) -> str:
    """Return the end of a message: a file that the user may have meant by `path`, which is missing.

    Return an empty text if there is no similar file.
    """
    with_slashes = posixpath.normpath(path.replace("\\", "/"))
    is_inside = not with_slashes.startswith(("..", "/"))
    if with_slashes != path and is_inside and os.path.exists(os.path.join(root, with_slashes)):
        return f": write {quote(with_slashes)}"
    folder, name = posixpath.split(path)
    names = _file_names(os.path.join(root, folder))
    normalized = _normalize(name)
    similar_name = next((other for other in names if _normalize(other) == normalized), None)
    if similar_name is None and len(names) <= MAX_COMPARED_NAMES:
        similar_name = next(iter(difflib.get_close_matches(name, names, 1, 0.85)), None)
    return f": did you mean {quote(posixpath.join(folder, similar_name))}?" if similar_name else ""


@cache
def _file_names(folder: str) -> list[str]:
    """Return the sorted names of the files in a folder; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _normalize(name: str) -> str:
    """Return `name` in lower case, without blanks around it, and each accented letter as one character."""
    return unicodedata.normalize("NFC", name).strip().casefold()
