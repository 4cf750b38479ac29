"""The media: fetched or rendered into shards, or checked where they lie."""

from pipeline import sources
from pipeline.cli import run
from pipeline.config import load
from pipeline.download.step import LAYOUT, DownloadStep
from pipeline.engine import runner
from pipeline.store import clip_table


def download() -> None:
    params = load("download")
    rows = clip_table.read("data/clips.parquet").to_pylist()
    source = sources.get(params.data.source)
    online = hasattr(source, "collect")
    fingerprint = (
        source.made_from(params) if online else runner.fingerprint(params, DownloadStep, source.fetch)
    )
    job = runner.Job(
        name="download",
        step=DownloadStep(source.fetch, params.data),
        shards=LAYOUT,
        fingerprint=fingerprint,
        file_stamps=[source.stamp(row) for row in rows],
    )
    if online:
        source.collect(runner.clips_to_compute(job, rows), params)
    table = runner.run(job, rows, params.data.shard_size, params.engine)
    if online:
        source.settle(table, params)


if __name__ == "__main__":
    run(download)
