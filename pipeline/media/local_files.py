"""Write the values of a media shard to files that a decoder can open."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.media.files import Media


@contextmanager
def as_local_files(values: list[Any]) -> Iterator[list[Media]]:
    """Yield the files of each value of a media shard, for a `with` block.

    values: dictionaries of `audio` and `video`, each `{"bytes": ..., "path": ...}` or None. Bytes are written
    to a temporary folder, which exists until the block ends; a file without bytes is used in place.
    """
    with tempfile.TemporaryDirectory() as folder:
        media = []
        for i, value in enumerate(values):
            # One file may be both audio and video: then only one of the two has its bytes, under its path.
            local_paths: dict[str, str] = {}  # path in the shard -> path in the temporary folder
            for column in ("video", "audio"):
                file = value[column]
                if file and file["bytes"] is not None:
                    local_path = Path(folder) / f"{i:06d}-{column}{Path(file['path']).suffix}"
                    local_path.write_bytes(file["bytes"])
                    local_paths[file["path"]] = str(local_path)
            audio, video = (_local_path(value[column], local_paths) for column in ("audio", "video"))
            media.append(Media(audio, video))
        yield media


def _local_path(file: dict | None, local_paths: dict[str, str]) -> str | None:
    """Return where a file of a shard can be opened; None if there is no file.

    local_paths: path in the shard -> path in the temporary folder.
    """
    return local_paths.get(file["path"], file["path"]) if file else None
