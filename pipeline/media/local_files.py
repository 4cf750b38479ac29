"""From the values of a media shard to files that a decoder can open."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.media.files import Media


@contextmanager
def opened(values: list[Any]) -> Iterator[list[Media]]:
    """Media shard values as local files: written to a temporary folder where the shard holds their bytes."""
    with tempfile.TemporaryDirectory() as folder:
        media = []
        for i, value in enumerate(values):
            paths: dict[str, str] = {}  # by the path in the shard: sound and picture may be one file
            for kind in ("video", "audio"):
                file = value[kind]
                if file and file["bytes"] is not None:
                    path = Path(folder) / f"{i:06d}-{kind}{Path(file['path']).suffix}"
                    path.write_bytes(file["bytes"])
                    paths[file["path"]] = str(path)
            local = {
                k: value[k] and paths.get(value[k]["path"], value[k]["path"]) for k in ("audio", "video")
            }
            media.append(Media(**local))
        yield media
