"""The largest face of each clip's middle frame, or of every frame; nothing where faces.enabled is false."""

from pathlib import Path

from pipeline import clips, engine, media_files, media_shards
from pipeline.params import load
from pipeline.shards import digest
from stages import run


def faces() -> None:
    params = load("faces")
    if not params.faces.enabled:
        shards = media_shards.faces((1, params.faces.size, params.faces.size, 3))
        shards.prepare([])
        shards.finish(0)
        print("faces: nothing to do (faces.enabled is false)")
        return
    from pipeline.faces import FacesStep, detector_of

    detector_of(params.faces.model)  # a file that is no model is told before any work
    model = Path(params.faces.model).read_bytes() if params.faces.model else b""
    frames = {"middle": 1, "every": params.video.frames}[params.faces.frames]
    step = FacesStep(params.faces, params.data.clip_seconds, frames)
    code = FacesStep, media_files.opened, media_shards.__name__
    job = engine.Job(
        name="faces",
        step=step,
        shards=media_shards.faces(step.shape),
        made_from=digest(engine.made_from(params, *code), model),
        upstream=media_shards.MEDIA,
        opener=media_files.opened,
    )
    rows = clips.read("data/clips.parquet").to_pylist()
    engine.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(faces)
