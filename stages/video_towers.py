"""The stage video_towers: compute the features of every clip's pictures by the networks of `towers.video`."""

from models.inference.towers_step import GPU_SHARE, TowersStep, limit_workers
from models.registry import select_keywords
from pipeline.cli import run
from pipeline.config import load
from pipeline.engine import runner
from pipeline.media.faces import FacesStep
from pipeline.media.frames import FramesStep
from pipeline.store import clip_table


def video_towers() -> None:
    """Write the features of every stored frame, or face, to the shards of this stage.

    If `towers.video` names no network, write an empty index.
    """
    params = load("video_towers")
    seconds = params.data.clip_seconds
    n_faces = 1 if params.faces.frames == "middle" else params.video.frames
    pictures: FacesStep | FramesStep = FramesStep(params.video, seconds)
    if params.input == "face":
        pictures = FacesStep(params.faces, seconds, n_faces)
    upstream = pictures.layout
    step = TowersStep("video", pictures.shape, segments=None)
    networks = select_keywords(params.towers.video, params.encoders.video)
    if not networks:
        runner.write_empty("video_towers", step.layout, "towers.video is empty")
        return
    step = step.with_networks(networks)
    job = runner.Job(
        name="video_towers",
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
    run(video_towers)
