"""The media: fetched or rendered into shards, or checked where they lie."""

from pipeline import clips, engine, media_shards, sources
from pipeline.download import DownloadStep
from pipeline.params import load
from stages import run


def download() -> None:
    params = load("download")
    rows = clips.read("data/clips.parquet").to_pylist()
    name = params.data.source
    source = sources.get(name)
    online = hasattr(source, "collect")
    code = DownloadStep, source.__name__, media_shards.__name__
    made_from = source.made_from(params) if online else engine.made_from(params, *code)
    job = engine.Job(
        name="download",
        step=DownloadStep(params.data),
        shards=media_shards.MEDIA,
        made_from=made_from,
        facts=[source.stamp(row) for row in rows],
    )
    if online:
        source.collect(engine.missing(job, rows), params)
    table = engine.run(job, rows, params.data.shard_size, params.engine)
    if online:
        source.settle(table, params)


if __name__ == "__main__":
    run(download)
