"""The media: fetched or rendered into shards, or checked where they lie."""

from pipeline import clips, engine, media_shards, sources
from pipeline.download import DownloadStep
from pipeline.params import load
from stages import run


def download() -> None:
    params = load("download")
    rows = clips.read("data/clips.parquet").to_pylist()
    source = sources.get(params.data.source)
    job = engine.Job(
        name="download",
        step=DownloadStep(params.data),
        shards=media_shards.MEDIA,
        made_from=engine.made_from("download", params),
        facts=[source.stamp(row) for row in rows],
    )
    engine.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(download)
