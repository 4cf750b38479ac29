"""The stage source: check that `data.folder` exists.

Without this stage, DVC itself would fail first, and its message would be only `[Errno 2]`.
"""

from pipeline.cli import run
from pipeline.config import load
from pipeline.sources.folder import resolve
from pipeline.store.metric_files import write_json


def source() -> None:
    """Write the source and its folder to data/source.json. Raise UserError if the folder does not exist."""
    data = load("source").data
    resolve(data.folder)  # raises UserError
    write_json({"source": data.source, "folder": data.folder}, "data/source.json")
    print(f"source: {data.source}; data.folder exists: {data.folder}")


if __name__ == "__main__":
    run(source)
