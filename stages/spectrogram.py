"""What a model hears: the feature named by audio.feature, for every clip that has sound."""

from pipeline.cli import run
from pipeline.engine import runner
from pipeline.media import shard_layouts
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.params import load
from pipeline.store import clip_table


def spectrogram() -> None:
    params = load("spectrogram")
    step = SpectrogramStep(params.audio, params.data.clip_seconds)
    job = runner.Job(
        name="spectrogram",
        step=step,
        shards=shard_layouts.spectrogram(step.shape, params.audio.dtype),
        made_from=runner.made_from(params, SpectrogramStep, shard_layouts.__name__),
        upstream=shard_layouts.WAV,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(spectrogram)
