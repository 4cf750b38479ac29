"""That `data.folder` is there: a missing one DVC itself would tell as `[Errno 2]`, before any stage ran."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.sources.folder import located
from pipeline.store.metric_files import write_json


def source() -> None:
    data = load("source").data
    located(data.folder)
    write_json({"source": data.source, "folder": data.folder}, "data/source.json")
    print(f"source: {data.source}; data.folder is there: {data.folder}")


if __name__ == "__main__":
    run(source)
