"""The stage wav: decode the sound of every clip to WAV."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media.decoders import check_program
from pipeline.media.local_files import as_local_files
from pipeline.media.wav import LAYOUT, WavStep
from pipeline.store import clip_table


def wav() -> None:
    """Write the sound of every clip as WAV (mono, 16 bit, `audio.sample_rate` Hz) to the shards."""
    params = load("wav")
    check_program(params.media)
    job = runner.Job(
        name="wav",
        step=WavStep(params.audio, params.data.clip_seconds, params.media),
        shards=LAYOUT,
        fingerprint=compute_fingerprint(params, WavStep, as_local_files),
        upstream=download.LAYOUT,
        opener=as_local_files,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(wav)
