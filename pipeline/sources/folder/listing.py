"""The list of the files of a folder, without opening any."""

import os
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from pipeline.errors import UserError
from pipeline.sources.folder.extensions import MEDIA, split_extension

CSV = "clips.csv"


@dataclass
class Scan:
    """The contents of a folder: relative paths with forward slashes, sorted."""

    media: list[str] = field(default_factory=list)
    non_media_kinds: Counter = field(default_factory=Counter)  # extension -> number of files
    bad_names: list[str] = field(default_factory=list)  # media files whose names are not UTF-8
    unreadable: list[str] = field(default_factory=list)  # folders
    loops: list[str] = field(default_factory=list)  # links to folders that are not followed

    @property
    def non_media(self) -> int:
        """The number of files that are not media."""
        return sum(self.non_media_kinds.values())


def scan(root: str) -> Scan:
    """List the files below `root`. Hidden files and folders are skipped. No file is opened.

    A folder whose name has a media extension and that contains no media is listed as a media file, so that
    its row fails with a reason. So is a link to nothing. Raises UserError if `root` cannot be read.
    """
    walk = _Walk(root)
    walk.read_tree("")
    walk.follow_links()
    result = walk.result
    result.media.sort()
    files = list(result.media)
    for path in walk.folders_like_media:
        index = bisect_left(files, path + "/")
        has_media = index < len(files) and files[index].startswith(path + "/")
        if not has_media and _is_utf8(path):
            result.media.append(path)
    for paths in (result.media, result.bad_names, result.unreadable, result.loops):
        paths.sort()  # by code point, which for UTF-8 is by byte: the same under every locale
    return result


class _Walk:
    """Reads folders below `root` into `result`. Only folders and links are stat'ed, which keeps it fast."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.result = Scan()
        self.folder_links: list[tuple[str, str]] = []  # (relative path, real path), not followed yet
        self.folders_like_media: list[str] = []  # folders whose names have a media extension
        self.read_folders: set[tuple[int, int]] = set()  # (device, inode)

    def read_tree(self, start: str) -> None:
        """Read the folder `start` (relative) and all folders below it. Links to folders are only noted."""
        stack = [start]
        while stack:
            folder = stack.pop()
            for entry in self._entries(folder):
                if entry.name.startswith("."):
                    continue
                path = f"{folder}/{entry.name}" if folder else entry.name
                if _is_dir(entry):
                    if entry.is_symlink():
                        self.folder_links.append((path, os.path.realpath(entry.path)))
                    else:
                        stack.append(path)
                    if _has_media_extension(path):
                        self.folders_like_media.append(path)
                else:
                    self._add_file(path)

    def follow_links(self) -> None:
        """Read the folders that links lead to, and those that links in them lead to.

        Called after the real folders are read, so that none of them is read under a link's name. In order of
        the paths, so that the result does not depend on the file system.
        """
        top = os.path.realpath(self.root)
        while self.folder_links:
            self.folder_links.sort()
            path, real_path = self.folder_links.pop(0)
            if _is_inside(real_path, top) or _is_inside(top, real_path):
                self.result.loops.append(path)
            else:
                self.read_tree(path)

    def _entries(self, folder: str) -> list[os.DirEntry]:
        """List a folder that was not read before; one that was read, or cannot be, is noted in `result`."""
        full_path = os.path.join(self.root, folder) if folder else self.root
        try:
            info = os.stat(full_path)
            if info.st_ino and (info.st_dev, info.st_ino) in self.read_folders:
                self.result.loops.append(folder)
                return []
            self.read_folders.add((info.st_dev, info.st_ino))
            with os.scandir(full_path) as entries:
                return list(entries)
        except OSError as e:
            if not folder:
                raise UserError(f"{self.root}: cannot read this folder: {e.strerror}") from None
            self.result.unreadable.append(folder)
            return []

    def _add_file(self, path: str) -> None:
        if path == CSV:
            return
        if not _has_media_extension(path):
            self.result.non_media_kinds[_extension(path)] += 1
        elif _is_utf8(path):
            self.result.media.append(path)
        else:
            self.result.bad_names.append(path)


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself or into an unreadable folder: its row fails with a reason
        return False


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_media_extension(path: str) -> bool:
    return split_extension(path)[1] in MEDIA


def _extension(path: str) -> str:
    """Return the extension with its dot, for a message."""
    ext = os.path.splitext(path)[1].lower()
    return ext if ext.isprintable() else "with unprintable extensions"
