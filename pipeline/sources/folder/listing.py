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
    """The contents of a folder. Paths are relative to it, with forward slashes, sorted."""

    media: list[str] = field(default_factory=list)  # files that are media by their extension
    non_media_extensions: Counter = field(default_factory=Counter)  # extension -> number of files
    bad_names: list[str] = field(default_factory=list)  # media files whose names are not UTF-8
    unreadable: list[str] = field(default_factory=list)  # folders
    loops: list[str] = field(default_factory=list)  # links to folders that are not followed

    @property
    def non_media(self) -> int:
        """The number of files that are not media by their extension."""
        return sum(self.non_media_extensions.values())


def scan(root: str) -> Scan:
    """List the files in the folder `root` and below. Hidden files and folders are skipped.

    No file is opened. So that the user sees a reason, two things that are no files are listed as media: a
    folder whose name has a media extension and that contains no media, and a link to nothing. The stage
    `download` fails for them. Raises UserError if `root` cannot be read.
    """
    walk = _Walk(root)
    walk.read_tree("")
    walk.follow_links()
    result = walk.result
    result.media.sort()
    files = list(result.media)
    for path in walk.folders_like_media:
        # In sorted order, the first file in the folder would be at this index.
        index = bisect_left(files, path + "/")
        has_media = index < len(files) and files[index].startswith(path + "/")
        if not has_media and _is_utf8(path):
            result.media.append(path)
    for paths in (result.media, result.bad_names, result.unreadable, result.loops):
        paths.sort()  # by code point, which for UTF-8 is by byte: the same under every locale
    return result


class _Walk:
    """One scan of a folder and all folders below it.

    Only folders and links are stat'ed, not files, which keeps the scan fast.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.result = Scan()
        self.folder_links: list[tuple[str, str]] = []  # (relative path, real path), not followed yet
        self.folders_like_media: list[str] = []  # relative paths of folders with a media extension
        self.read_folders: set[tuple[int, int]] = set()  # (device, inode) of each folder that was read

    def read_tree(self, start: str) -> None:
        """Read a folder and all folders below it. Links to folders are put into `folder_links`.

        start: path relative to the root; "" is the root.
        """
        stack = [start]
        while stack:
            folder = stack.pop()
            for entry in self._read_entries(folder):
                if entry.name.startswith("."):
                    continue
                path = f"{folder}/{entry.name}" if folder else entry.name
                if _is_folder(entry):
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

        Call this after `read_tree("")`, so that no real folder is read under the name of a link. Links are
        followed in the order of their paths, so that the result does not depend on the file system.
        """
        top = os.path.realpath(self.root)
        while self.folder_links:
            self.folder_links.sort()
            path, real_path = self.folder_links.pop(0)
            if _is_inside(real_path, top) or _is_inside(top, real_path):
                self.result.loops.append(path)
            else:
                self.read_tree(path)

    def _read_entries(self, folder: str) -> list[os.DirEntry]:
        """Return the files and folders that are directly in a folder.

        The list is empty for a folder that was read before, which is added to `result.loops`, and for one
        that cannot be read, which is added to `result.unreadable`. folder: path relative to the root.
        """
        full_path = os.path.join(self.root, folder) if folder else self.root
        try:
            info = os.stat(full_path)
            # Some file systems have no inode numbers (0).
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
        """Add a file to the list of the result that it belongs to. path: relative to the root."""
        if path == CSV:
            return
        if not _has_media_extension(path):
            self.result.non_media_extensions[_extension(path)] += 1
        elif _is_utf8(path):
            self.result.media.append(path)
        else:
            self.result.bad_names.append(path)


def _is_folder(entry: os.DirEntry) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself or into an unreadable folder: as a file, its row fails with a reason
        return False


def _is_inside(path: str, folder: str) -> bool:
    """Return whether `path` is `folder` or inside it. Both are real paths, without links."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_utf8(path: str) -> bool:
    """Return whether a path, as the operating system returned it, is valid UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:  # Python replaces other bytes by lone surrogates, which cannot be encoded
        return False
    return True


def _has_media_extension(path: str) -> bool:
    return split_extension(path)[1] in MEDIA


def _extension(path: str) -> str:
    """Return the extension in lower case with its dot, for a message; "" if there is none."""
    extension = os.path.splitext(path)[1].lower()
    return extension if extension.isprintable() else "with unprintable extensions"
