"""Vectors of any media by a trained model: the job of `python -m app.features`, and its files."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.components import component_modules
from models.inference.extract_step import ABOUT, INPUTS, KINDS, FeaturesStep, Vectors, array_of, writer
from pipeline import PREFIX
from pipeline.engine import runner
from pipeline.errors import UserError
from pipeline.store.atomic import atomic_write, write_table
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import Layout, digest, read_table
from pipeline.store.metric_files import write_json
from pipeline.store.shards import Shards

CHECKPOINT = f"{PREFIX}models.checkpoint"  # not imported here: it takes torch along
GROUP = 32 << 20  # bytes of a row group


def identity(folder: Path) -> str:
    """As models.checkpoint.identity: a hash of the weights. Raises UserError where there are none."""
    path = folder / "model.safetensors"
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): train a model first (dvc repro)") from None


def row(clip: dict) -> dict[str, Any]:
    """What the step needs of a row of a folder's clip table; labels may change without consequence."""
    about = {"clip_id": clip["clip_id"], "path": clip["video_id"], "start": clip["start"], "end": clip["end"]}
    return about | {side: clip[side] is not None for side in KINDS}


def job(step: FeaturesStep, config: dict[str, Any], out: Path, file_stamps: list) -> runner.Job:
    """The step over shards in `out`/.shards. file_stamps: of each clip, what tells that its file changed."""
    code = code_digest(FeaturesStep, CHECKPOINT, *component_modules(config))
    fingerprint = digest(step.identity, config, step.side, step.every, code)
    layout = Layout(out / ".shards", Vectors(), (("windows", pa.int32()),))
    return runner.Job("features", step, layout, fingerprint, file_stamps=file_stamps)


def write(
    job: runner.Job, config: dict[str, Any], rows: list[dict], index: pa.Table, out: Path, kind: str
) -> dict[str, Any]:
    """What lies in the shards of a finished job as the files of `out`; returns what features.json says.

    rows: the clips. kind: parquet, or npy: a file for each column, (n, dim) float32 with NaN where missing.
    What another run left there is replaced; nothing but accounts are atomic_write where there is no vector.
    """
    files = ["features.parquet", "clips.parquet", *(f"{column}.npy" for column in INPUTS)]
    for path in [*(out / name for name in files), *out.glob(".*.tmp")]:
        path.unlink(missing_ok=True)
    paths = [
        Shards.from_layout(job.shards).data_path(shard)
        for shard in range(max(index["shard"].to_pylist(), default=-1) + 1)
    ]
    metas = [pq.read_metadata(path) for path in paths]
    paths = [path for path, meta in zip(paths, metas, strict=True) if meta.num_rows]
    windows, dims = sum(meta.num_rows for meta in metas), {}
    if paths:
        schema = pq.read_schema(paths[0])
        dims = {name: schema.field(name).type.list_size for name in schema.names if name in INPUTS}
        about = "features.parquet" if kind == "parquet" else "clips.parquet"
        names = schema.names if kind == "parquet" else list(ABOUT)
        with atomic_write(out / about) as part, writer(part, pa.schema(map(schema.field, names))) as file:
            for table in _groups(paths, names):
                file.write_table(table)
    for name, dim in dims.items() if kind == "npy" else ():
        with atomic_write(out / f"{name}.npy") as part, open(part, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (windows, dim)}
            np.lib.format.write_array_header_1_0(file, header)
            for table in _groups(paths, [name]):
                file.write(array_of(table[name]).data)
    account = index.select(["clip_id", "windows", "status", "detail"]).to_pydict()
    account["path"] = [row["path"] for row in rows]
    account["detail"] = [text.replace("engine.timeout", "--timeout") for text in account["detail"]]
    types = {"windows": pa.int32()}
    names = ("clip_id", "path", "windows", "status", "detail")
    table = pa.table({name: pa.array(account[name], types.get(name, pa.string())) for name in names})
    write_table(table, out / "index.parquet")
    step: Any = job.step
    told = {
        "model": {"identity": step.identity}
        | {key: config.get(key) for key in ("task", "modality", "input")},
        "inputs": config["inputs"],
        "side": step.side,
        "every": step.every,
        "format": kind,
        "clips": dict(sorted(Counter(account["status"]).items())),
        "windows": windows,
        "dim": dims,
    }
    write_json(told, out / "features.json")
    return told


def _groups(paths: list[Path], columns: list[str]) -> Iterator[pa.Table]:
    """The rows of all shards, GROUP bytes at a time."""
    held: list[pa.Table] = []
    for path in paths:
        held.append(read_table(path, columns))
        if sum(table.nbytes for table in held) >= GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
