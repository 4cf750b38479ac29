"""The stage faces: crop the largest face of frames of every clip, if `faces.enabled` is true."""

from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.download import step as download
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.media.decoders import check_program
from pipeline.media.faces import FacesStep, load_detector
from pipeline.media.local_files import as_local_files
from pipeline.store import clip_table
from pipeline.store.formats import digest


def faces() -> None:
    """Write the largest face in the middle frame, or in all frames, of each clip to the shards of this stage.

    If `faces.enabled` is false, write an empty index.
    """
    params = load("faces")
    n_frames = {"middle": 1, "every": params.video.frames}[params.faces.frames]
    step = FacesStep(params.faces, params.data.clip_seconds, n_frames, params.media)
    if not params.faces.enabled:
        runner.write_empty("faces", step.layout, "faces.enabled is false")
        return
    check_program(params.media)
    load_detector(params.faces.model)  # both raise UserError before any work
    # Faces depend on the content of the detector's file, not on its path.
    model_bytes = Path(params.faces.model).read_bytes() if params.faces.model else b""
    job = runner.Job(
        name="faces",
        step=step,
        shards=step.layout,
        fingerprint=digest(compute_fingerprint(params, FacesStep, as_local_files), model_bytes),
        upstream=download.LAYOUT,
        opener=as_local_files,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


if __name__ == "__main__":
    run(faces)
