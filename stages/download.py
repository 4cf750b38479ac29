"""The stage download: get the media of all clips (download, render, or check files that stay in place)."""

from pipeline import sources
from pipeline.cli import run
from pipeline.config import load
from pipeline.download.step import LAYOUT, DownloadStep
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint, find_clips_to_compute
from pipeline.store import clip_table


def download() -> None:
    """Get the media of every clip from the data source, and write them to the shards of this stage.

    Clips whose key an earlier run has stored are reused.
    """
    params = load("download")
    clips = clip_table.read("data/clips.parquet").to_pylist()
    source = sources.get(params.data.source)
    # None unless clips are downloaded before they are written to shards. It does not cover the code: a change
    # of the code would download everything again.
    media_key = source.media_key(clips, params) if hasattr(source, "media_key") else None
    is_online = media_key is not None
    fetch = source.load if is_online else source.fetch
    fingerprint = media_key or compute_fingerprint(params, DownloadStep, fetch)
    job = runner.Job(
        name="download",
        step=DownloadStep(fetch, params.data),
        shards=LAYOUT,
        fingerprint=fingerprint,
        file_stamps=[source.stamp(clip) for clip in clips],
    )
    if is_online:
        source.collect(find_clips_to_compute(job, clips), params)
    index = runner.run(job, clips, params.data.shard_size, params.engine)
    if is_online:
        source.finish(index, params)


if __name__ == "__main__":
    run(download)
