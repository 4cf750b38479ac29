"""The stage audio_towers: compute the features of every clip's sound by the networks of `towers.audio`."""

from models.inference.towers_step import GPU_SHARE, TowersStep, limit_workers
from models.registry import select_keywords
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset.windows import Segments, WindowRule
from pipeline.engine import runner
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.store import clip_table


def audio_towers() -> None:
    """Write the features of every clip with sound to the shards of this stage.

    If `towers.audio` names no network, write an empty index.
    """
    params = load("audio_towers")
    spectrogram = SpectrogramStep(params.audio, params.data.clip_seconds)
    upstream, clip_shape = spectrogram.layout, spectrogram.shape
    windows = WindowRule.from_config(params.audio, params.video, clip_columns=clip_shape[2])
    segments = Segments.from_seconds(params.towers.segment_seconds, params.towers.hop_seconds, windows)
    step = TowersStep("audio", clip_shape, segments)
    networks = select_keywords(params.towers.audio, params.encoders.audio)
    if not networks:
        runner.write_empty("audio_towers", step.layout, "towers.audio is empty")
        return
    step = step.with_networks(networks)
    job = runner.Job(
        name="audio_towers",
        step=step,
        shards=step.layout,
        fingerprint=step.fingerprint,
        upstream=upstream,
        tasks_per_worker=0,
        gpu_share=GPU_SHARE,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, limit_workers(params.engine))


if __name__ == "__main__":
    run(audio_towers)
