"""The sound of every clip as WAV: mono, 16 bit, at audio.sample_rate."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.media.local_files import opened
from pipeline.media.wav import LAYOUT, WavStep
from pipeline.store import clip_table


def wav() -> None:
    params = load("wav")
    job = runner.Job(
        name="wav",
        step=WavStep(params.audio, params.data.clip_seconds),
        shards=LAYOUT,
        made_from=runner.made_from(params, WavStep, opened),
        upstream=download.LAYOUT,
        opener=opened,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(wav)
