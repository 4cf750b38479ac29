"""Check that `data.folder` exists. Without this stage, DVC itself would fail first, with only `[Errno 2]`."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.sources.folder import resolve
from pipeline.store.metric_files import write_json


def source() -> None:
    data = load("source").data
    resolve(data.folder)
    write_json({"source": data.source, "folder": data.folder}, "data/source.json")
    print(f"source: {data.source}; data.folder exists: {data.folder}")


if __name__ == "__main__":
    run(source)
