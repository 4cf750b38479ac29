"""Crop the largest face of the middle frame of each clip, or of every frame; nothing if faces are off."""

from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media.faces import FacesStep, load_detector
from pipeline.media.local_files import as_local_files
from pipeline.store import clip_table
from pipeline.store.formats import digest
from pipeline.store.shards import Shards


def faces() -> None:
    params = load("faces")
    frames = {"middle": 1, "every": params.video.frames}[params.faces.frames]
    step = FacesStep(params.faces, params.data.clip_seconds, frames)
    if not params.faces.enabled:
        shards = Shards.from_layout(step.layout)
        shards.start_run([])
        shards.merge_indexes(0)
        print("faces: nothing to do (faces.enabled is false)")
        return
    load_detector(params.faces.model)  # raises UserError for an invalid model before any work
    model = Path(params.faces.model).read_bytes() if params.faces.model else b""
    job = runner.Job(
        name="faces",
        step=step,
        shards=step.layout,
        fingerprint=digest(compute_fingerprint(params, FacesStep, as_local_files), model),
        upstream=download.LAYOUT,
        opener=as_local_files,
    )
    rows = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, rows, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(faces)
