"""What a model sees: video.frames evenly spaced frames of every clip that has a picture."""

from pipeline import clips, engine, media_files, media_shards
from pipeline.frames import FramesStep
from pipeline.params import load
from stages import run


def frames() -> None:
    params = load("frames")
    step = FramesStep(params.video, params.data.clip_seconds)
    job = engine.Job(
        name="frames",
        step=step,
        shards=media_shards.frames(step.shape),
        made_from=engine.made_from(params, FramesStep, media_files.opened, media_shards.__name__),
        upstream=media_shards.MEDIA,
        opener=media_files.opened,
    )
    rows = clips.read("data/clips.parquet").to_pylist()
    engine.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(frames)
