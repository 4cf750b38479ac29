"""The sound of every clip as WAV: mono, 16 bit, at audio.sample_rate."""

from pipeline.cli import run
from pipeline.engine import runner
from pipeline.media import local_files, shard_layouts
from pipeline.media.wav import WavStep
from pipeline.params import load
from pipeline.store import clip_table


def wav() -> None:
    params = load("wav")
    job = runner.Job(
        name="wav",
        step=WavStep(params.audio, params.data.clip_seconds),
        shards=shard_layouts.WAV,
        made_from=runner.made_from(params, WavStep, local_files.opened, shard_layouts.__name__),
        upstream=shard_layouts.MEDIA,
        opener=local_files.opened,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(wav)
