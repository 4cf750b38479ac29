"""The media: fetched or rendered into shards, or checked where they lie."""

from pipeline import sources
from pipeline.cli import run
from pipeline.download.step import DownloadStep
from pipeline.engine import runner
from pipeline.media import shard_layouts
from pipeline.params import load
from pipeline.store import clip_table


def download() -> None:
    params = load("download")
    rows = clip_table.read("data/clips.parquet").to_pylist()
    name = params.data.source
    source = sources.get(name)
    online = hasattr(source, "collect")
    code = DownloadStep, source.__name__, shard_layouts.__name__
    made_from = source.made_from(params) if online else runner.made_from(params, *code)
    job = runner.Job(
        name="download",
        step=DownloadStep(params.data),
        shards=shard_layouts.MEDIA,
        made_from=made_from,
        facts=[source.stamp(row) for row in rows],
    )
    if online:
        source.collect(runner.missing(job, rows), params)
    table = runner.run(job, rows, params.data.shard_size, params.engine)
    if online:
        source.settle(table, params)


if __name__ == "__main__":
    run(download)
