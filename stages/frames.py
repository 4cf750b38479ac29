"""The stage frames: decode frames of every clip, the input of video encoders."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media.decoders import check_program
from pipeline.media.frames import FramesStep
from pipeline.media.local_files import as_local_files
from pipeline.store import clip_table


def frames() -> None:
    """Write `video.frames` evenly spaced frames of every clip with a picture to the shards of this stage."""
    params = load("frames")
    check_program(params.media)
    step = FramesStep(params.video, params.data.clip_seconds, params.media)
    job = runner.Job(
        name="frames",
        step=step,
        shards=step.layout,
        fingerprint=compute_fingerprint(params, FramesStep, as_local_files),
        upstream=download.LAYOUT,
        opener=as_local_files,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(frames)
