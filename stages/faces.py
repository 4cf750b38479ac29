"""The largest face of each clip's middle frame, or of every frame; nothing where faces.enabled is false."""

from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.media.faces import FacesStep, detector_of
from pipeline.media.local_files import opened
from pipeline.store import clip_table
from pipeline.store.formats import digest
from pipeline.store.shards import Shards


def faces() -> None:
    params = load("faces")
    frames = {"middle": 1, "every": params.video.frames}[params.faces.frames]
    step = FacesStep(params.faces, params.data.clip_seconds, frames)
    if not params.faces.enabled:
        shards = Shards.of(step.layout)
        shards.prepare([])
        shards.finish(0)
        print("faces: nothing to do (faces.enabled is false)")
        return
    detector_of(params.faces.model)  # a file that is no model is told before any work
    model = Path(params.faces.model).read_bytes() if params.faces.model else b""
    job = runner.Job(
        name="faces",
        step=step,
        shards=step.layout,
        made_from=digest(runner.made_from(params, FacesStep, opened), model),
        upstream=download.LAYOUT,
        opener=opened,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(faces)
