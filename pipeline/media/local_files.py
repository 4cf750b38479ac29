"""Write the values of a media shard to files that a decoder can open."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.media.files import Media


@contextmanager
def as_local_files(values: list[Any]) -> Iterator[list[Media]]:
    """Yield local files for values of a media shard; bytes in the shard go to a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        media = []
        for i, value in enumerate(values):
            paths: dict[
                str, str
            ] = {}  # path in the shard -> local path; sound and picture may have the same one
            for kind in ("video", "audio"):
                file = value[kind]
                if file and file["bytes"] is not None:
                    path = Path(folder) / f"{i:06d}-{kind}{Path(file['path']).suffix}"
                    path.write_bytes(file["bytes"])
                    paths[file["path"]] = str(path)
            local_paths = {
                k: value[k] and paths.get(value[k]["path"], value[k]["path"]) for k in ("audio", "video")
            }
            media.append(Media(**local_paths))
        yield media
