"""The stage video_towers: compute the features of every clip's pictures by the networks of `towers.video`."""

from models.inference.towers import compute_features
from pipeline.cli import run
from pipeline.config import load
from pipeline.media.faces import FacesStep
from pipeline.media.frames import FramesStep


def video_towers() -> None:
    """Write the features of every stored frame, or face, to the shards of this stage.

    If `towers.video` names no network, write an empty index.
    """
    params = load("video_towers")
    seconds = params.data.clip_seconds
    if params.input == "face":
        n_frames = 1 if params.faces.frames == "middle" else params.video.frames
        upstream = FacesStep(params.faces, seconds, n_frames).layout
    else:
        upstream = FramesStep(params.video, seconds).layout
    compute_features(params, "video", upstream, segments=None)


if __name__ == "__main__":
    run(video_towers)
