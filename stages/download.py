"""Download or render the media of all clips into shards, or check the files in place."""

from pipeline import sources
from pipeline.cli import run
from pipeline.config import load
from pipeline.download.step import LAYOUT, DownloadStep
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint, find_clips_to_compute
from pipeline.store import clip_table


def download() -> None:
    params = load("download")
    rows = clip_table.read("data/clips.parquet").to_pylist()
    source = sources.get(params.data.source)
    is_online = hasattr(source, "collect")
    if is_online:
        media_key = source.media_key(params)
    else:
        media_key = compute_fingerprint(params, DownloadStep, source.fetch)
    job = runner.Job(
        name="download",
        step=DownloadStep(source.fetch, params.data),
        shards=LAYOUT,
        fingerprint=media_key,
        file_stamps=[source.stamp(row) for row in rows],
    )
    if is_online:
        source.collect(find_clips_to_compute(job, rows), params)
    table = runner.run(job, rows, params.data.shard_size, params.engine)
    if is_online:
        source.finish(table, params)


if __name__ == "__main__":
    run(download)
