"""The stage spectrogram: compute the feature of every clip's sound, the input of audio encoders."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media import wav
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.store import clip_table


def spectrogram() -> None:
    """Write the feature `audio.feature` of every clip with sound to the shards of this stage."""
    params = load("spectrogram")
    step = SpectrogramStep(params.audio, params.data.clip_seconds)
    job = runner.Job(
        name="spectrogram",
        step=step,
        shards=step.layout,
        fingerprint=compute_fingerprint(params, SpectrogramStep),
        upstream=wav.LAYOUT,
        tasks_per_worker=0,  # no decoder runs here, and librosa takes seconds to start
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(spectrogram)
