"""The largest face of each clip's middle frame, or of every frame; nothing where faces.enabled is false."""

from pathlib import Path

from pipeline.cli import run
from pipeline.engine import runner
from pipeline.media import local_files, shard_layouts
from pipeline.params import load
from pipeline.store import clip_table
from pipeline.store.shards import digest


def faces() -> None:
    params = load("faces")
    if not params.faces.enabled:
        shards = shard_layouts.faces((1, params.faces.size, params.faces.size, 3))
        shards.prepare([])
        shards.finish(0)
        print("faces: nothing to do (faces.enabled is false)")
        return
    from pipeline.media.faces import FacesStep, detector_of

    detector_of(params.faces.model)  # a file that is no model is told before any work
    model = Path(params.faces.model).read_bytes() if params.faces.model else b""
    frames = {"middle": 1, "every": params.video.frames}[params.faces.frames]
    step = FacesStep(params.faces, params.data.clip_seconds, frames)
    code = FacesStep, local_files.opened, shard_layouts.__name__
    job = runner.Job(
        name="faces",
        step=step,
        shards=shard_layouts.faces(step.shape),
        made_from=digest(runner.made_from(params, *code), model),
        upstream=shard_layouts.MEDIA,
        opener=local_files.opened,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(faces)
