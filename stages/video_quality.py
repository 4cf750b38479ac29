"""The stage video_quality: measure change, cuts, black frames and bars of every clip's frames."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media.frames import FramesStep
from pipeline.quality.picture import VideoQualityStep
from pipeline.store import clip_table


def video_quality() -> None:
    """Write the measures and the hashes of every clip with a picture to the shards of this stage."""
    params = load("video_quality")
    step = VideoQualityStep(params.video.frames)
    job = runner.Job(
        name="video_quality",
        step=step,
        shards=step.layout,
        fingerprint=compute_fingerprint(params, VideoQualityStep),
        upstream=FramesStep(params.video, params.data.clip_seconds).layout,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(video_quality)
