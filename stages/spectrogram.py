"""What a model hears: the feature named by audio.feature, for every clip that has sound."""

from pipeline import clips, engine, media_shards
from pipeline.params import load
from pipeline.spectrogram import SpectrogramStep
from stages import run


def spectrogram() -> None:
    params = load("spectrogram")
    step = SpectrogramStep(params.audio, params.data.clip_seconds)
    job = engine.Job(
        name="spectrogram",
        step=step,
        shards=media_shards.spectrogram(step.shape, params.audio.dtype),
        made_from=engine.made_from(params, SpectrogramStep, media_shards.__name__),
        upstream=media_shards.WAV,
    )
    rows = clips.read("data/clips.parquet").to_pylist()
    engine.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(spectrogram)
