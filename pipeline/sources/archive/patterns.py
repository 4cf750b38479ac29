"""From `data.archives` to the archives: braces, globs, folders, local or by fsspec."""

import glob
import os
import posixpath
from typing import TYPE_CHECKING

import bracex

from pipeline.errors import UserError
from pipeline.media.members import MediaError
from pipeline.media.members.raw_archive import explain_remote_errors, is_url
from pipeline.sources.folder.paths import resolve
from pipeline.store.locations import SEPARATOR
from pipeline.store.storage import OBJECT_STORES

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

EXTENSIONS = (".tar", ".parquet")  # of archives in a folder
MAX_ARCHIVES = 100_000
# Those that fsspec opens as one file each, without running or reading anything else.
SCHEMES = tuple(sorted(OBJECT_STORES)) + ("hdfs", "hf", "http", "https", "sftp", "ssh", "webhdfs")


def list_archives(data: "DataParams") -> list[str]:
    """Return the archives that `data.archives` selects, or those in `data.folder`, in their order.

    Raises UserError if a pattern matches nothing.
    """
    if data.archives is None:
        return find_archives([resolve(data.folder)])
    return find_archives([data.archives] if isinstance(data.archives, str) else data.archives)


def find_archives(patterns: list[str]) -> list[str]:
    """Return the archives that patterns select, each once: in the order of the patterns, then by name.

    patterns: paths or URLs with globs (`*`, `**`, `?`, `[ab]`) and braces (`{000..099}`, `{train,test}`). A
    folder stands for all `.tar` and `.parquet` files in it. Raises UserError if a pattern matches nothing.
    """
    archives: dict[str, None] = {}
    for pattern in patterns:
        for path in _expand_braces(pattern):
            matches = _expand_url(path) if is_url(path) else _expand_path(path)
            if not matches:
                raise UserError(
                    f"{path}: no archive (.tar, .parquet) there: correct data.archives, or data.folder"
                )
            archives |= dict.fromkeys(matches)
        if len(archives) > MAX_ARCHIVES:
            raise UserError(f"data.archives: {pattern}: more than {MAX_ARCHIVES} archives")
    for archive in archives:
        if SEPARATOR in archive:
            raise UserError(f"{archive}: rename it: the path of an archive may not hold {SEPARATOR}")
    return list(archives)


def _expand_braces(pattern: str) -> list[str]:
    """Return the patterns that braces stand for. Raises UserError if there are too many."""
    try:
        return bracex.expand(pattern, keep_escapes=True, limit=MAX_ARCHIVES)
    except bracex.ExpansionLimitException:
        raise UserError(f"data.archives: {pattern}: more than {MAX_ARCHIVES} archives") from None


def _expand_path(pattern: str) -> list[str]:
    """Return the local archives that a pattern without braces selects. The paths begin as it does."""
    pattern = os.path.expanduser(pattern)
    # Other programs would read a path that begins with - as an option, and one with a : as a URL.
    first_part = pattern.split("/", 1)[0]
    if first_part.startswith("-") or ":" in first_part:
        pattern = f"./{pattern}"
    paths = [pattern] if os.path.lexists(pattern) else sorted(glob.glob(pattern, recursive=True))
    archives = []
    for path in paths:
        if os.path.isdir(path):
            names = glob.glob("**/*", root_dir=path, recursive=True)
            archives += [posixpath.join(path, name) for name in sorted(names) if name.endswith(EXTENSIONS)]
        else:
            archives.append(path)
    return archives


def _expand_url(pattern: str) -> list[str]:
    """Return the URLs that a pattern without braces selects. Raises UserError if it cannot be reached."""
    scheme = pattern.partition("://")[0]
    if scheme not in SCHEMES:
        raise UserError(f"data.archives: {pattern}: use a path, or a URL of {', '.join(SCHEMES)}")
    import fsspec  # needed for remote archives only

    try:
        with explain_remote_errors(pattern):
            file_system, path = fsspec.core.url_to_fs(pattern)
            if glob.has_magic(path):
                names = file_system.glob(path)
            elif not pattern.endswith(EXTENSIONS) and file_system.isdir(path):
                names = file_system.glob(f"{path.rstrip('/')}/**")
            else:
                return [pattern] if file_system.exists(path) else []
            names = [name for name in names if name.endswith(EXTENSIONS)]
            return sorted(name if is_url(name) else file_system.unstrip_protocol(name) for name in names)
    except MediaError as e:
        raise UserError(f"data.archives: {e}") from None
