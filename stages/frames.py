"""What a model sees: video.frames evenly spaced frames of every clip that has a picture."""

from pipeline.cli import run
from pipeline.engine import runner
from pipeline.media import local_files, shard_layouts
from pipeline.media.frames import FramesStep
from pipeline.params import load
from pipeline.store import clip_table


def frames() -> None:
    params = load("frames")
    step = FramesStep(params.video, params.data.clip_seconds)
    job = runner.Job(
        name="frames",
        step=step,
        shards=shard_layouts.frames(step.shape),
        made_from=runner.made_from(params, FramesStep, local_files.opened, shard_layouts.__name__),
        upstream=shard_layouts.MEDIA,
        opener=local_files.opened,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(frames)
