"""The stage audio_quality: measure silence, loudness, clipping and bandwidth of every clip's sound."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media import wav
from pipeline.quality.sound import AudioQualityStep
from pipeline.store import clip_table


def audio_quality() -> None:
    """Write the measures and the fingerprint of every clip with sound to the shards of this stage."""
    params = load("audio_quality")
    step = AudioQualityStep(params.data.clip_seconds)
    job = runner.Job(
        name="audio_quality",
        step=step,
        shards=step.layout,
        fingerprint=compute_fingerprint(params, AudioQualityStep),
        upstream=wav.LAYOUT,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(audio_quality)
