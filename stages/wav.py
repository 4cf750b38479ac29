"""The sound of every clip as WAV: mono, 16 bit, at audio.sample_rate."""

from pipeline import clips, engine, media_files, media_shards
from pipeline.params import load
from pipeline.wav import WavStep
from stages import run


def wav() -> None:
    params = load("wav")
    job = engine.Job(
        name="wav",
        step=WavStep(params.audio, params.data.clip_seconds),
        shards=media_shards.WAV,
        made_from=engine.made_from(params, WavStep, media_files.opened, media_shards.__name__),
        upstream=media_shards.MEDIA,
        opener=media_files.opened,
    )
    rows = clips.read("data/clips.parquet").to_pylist()
    engine.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(wav)
