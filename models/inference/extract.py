"""Embedding extraction: the job of `python -m app.features`, and the files that it writes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.components import component_modules
from models.inference.decode import SIDE_NAMES
from models.inference.extract_step import FeaturesStep
from models.inference.vectors import COLUMN_SIDES, WINDOW_COLUMNS, Vectors, open_writer, to_array
from pipeline import PREFIX
from pipeline.engine import runner
from pipeline.sources.folder.paths import join
from pipeline.store.atomic import atomic_write, write_table
from pipeline.store.clip_table import SIDE_TIMES
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import Layout, digest, read_table
from pipeline.store.metric_files import write_json
from pipeline.store.shards import Shards

CHECKPOINT = f"{PREFIX}models.checkpoint"  # not imported here, because it imports torch
GROUP_BYTES = 32 << 20  # size of a row group of a Parquet file


def to_step_input(clip: dict, root: str) -> dict[str, Any]:
    """Return what FeaturesStep reads of a clip: a row of the clip table of a folder of media.

    root: the path of the folder, with which the paths in the table begin. Labels are left out: they may
    change, and then nothing needs to be embedded again.
    """
    files = {side: clip[side] and clip[side].removeprefix(join(root, "")) for side in SIDE_NAMES}
    path = " + ".join(dict.fromkeys(filter(None, files.values())))
    times = {name: clip[name] for name in ("start", "end", *SIDE_TIMES) if name in clip}
    return {"clip_id": clip["clip_id"], "path": path, **times, **files}


def create_job(step: FeaturesStep, config: dict[str, Any], out: Path, file_stamps: list) -> runner.Job:
    """Create the job that runs the step on all clips and writes shards to `out`/.shards.

    config: config.json of the model. file_stamps: for each clip, the stamp of its file, which changes if the
    file is replaced.
    """
    code = code_digest(FeaturesStep, CHECKPOINT, *component_modules(config))
    fingerprint = digest(step.identity, config, step.side, step.hop_seconds, code)
    layout = Layout(out / ".shards", Vectors(), (("windows", pa.int32()),))
    return runner.Job("features", step, layout, fingerprint, file_stamps=file_stamps)


def write_features(
    job: runner.Job, config: dict[str, Any], clips: list[dict], index: pa.Table, out: Path, file_format: str
) -> dict[str, Any]:
    """Write the files of `out` from the shards of a finished job. Returns the content of features.json.

    config: config.json of the model. clips: the inputs of the step, as `to_step_input` returns them. index:
    the index of the job, a row for each clip.
    file_format: "parquet", one file; or "npy", a file for each column of vectors, (n, dim) float32, with NaN
    where missing. Files of an earlier run are replaced. If there is no vector, only index.parquet and
    features.json are written.
    """
    _delete_old_files(out)
    n_shards = max(index["shard"].to_pylist(), default=-1) + 1
    shards = Shards.from_layout(job.shards)
    paths = [shards.data_path(shard) for shard in range(n_shards)]
    window_counts = [pq.read_metadata(path).num_rows for path in paths]
    n_windows = sum(window_counts)
    paths = [path for path, count in zip(paths, window_counts, strict=True) if count]
    dims = _write_vectors(paths, n_windows, out, file_format)
    statuses = _write_index(index, clips, out)
    step: Any = job.step
    summary = {
        "model": {"identity": step.identity}
        | {key: config.get(key) for key in ("task", "modality", "input")},
        "inputs": config["inputs"],
        "side": step.side,
        "every": step.hop_seconds,
        "format": file_format,
        "clips": dict(sorted(Counter(statuses).items())),
        "windows": n_windows,
        "dim": dims,
    }
    write_json(summary, out / "features.json")
    return summary


def _delete_old_files(out: Path) -> None:
    """Delete the files of an earlier run from `out`, and temporary ones of a run that was killed."""
    names = ["features.parquet", "clips.parquet", *(f"{column}.npy" for column in COLUMN_SIDES)]
    for path in [*(out / name for name in names), *out.glob(".*.tmp")]:
        path.unlink(missing_ok=True)


def _write_vectors(paths: list[Path], n_windows: int, out: Path, file_format: str) -> dict[str, int]:
    """Write the rows of all shards to one Parquet file, or their vectors to .npy files.

    paths: the files of the shards that have rows, `n_windows` in all. file_format: "parquet" or "npy".
    Returns the dimension of each column of vectors.
    """
    if not paths:
        return {}
    schema = pq.read_schema(paths[0])
    dims = {name: schema.field(name).type.list_size for name in schema.names if name in COLUMN_SIDES}
    file_name = "features.parquet" if file_format == "parquet" else "clips.parquet"
    columns = schema.names if file_format == "parquet" else list(WINDOW_COLUMNS)
    table_schema = pa.schema(map(schema.field, columns))
    with atomic_write(out / file_name) as temporary, open_writer(temporary, table_schema) as writer:
        for table in _read_groups(paths, columns):
            writer.write_table(table)
    if file_format == "parquet":
        return dims
    for name, dim in dims.items():
        with atomic_write(out / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            # The vectors of all shards together may not fit into memory: write the header, then append.
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_windows, dim)}
            np.lib.format.write_array_header_1_0(file, header)
            for table in _read_groups(paths, [name]):
                file.write(to_array(table[name]).data)
    return dims


def _write_index(index: pa.Table, clips: list[dict], out: Path) -> list[str]:
    """Write index.parquet, a row for each clip. Returns their statuses."""
    columns = index.select(["clip_id", "windows", "status", "detail"]).to_pydict()
    columns["path"] = [clip["path"] for clip in clips]
    # The details name a key of params.yaml, but this command has a flag instead.
    columns["detail"] = [detail.replace("engine.timeout", "--timeout") for detail in columns["detail"]]
    types = {"windows": pa.int32()}
    names = ("clip_id", "path", "windows", "status", "detail")
    table = pa.table({name: pa.array(columns[name], types.get(name, pa.string())) for name in names})
    write_table(table, out / "index.parquet")
    return columns["status"]


def _read_groups(paths: list[Path], columns: list[str]) -> Iterator[pa.Table]:
    """Yield these columns of all shards, in tables of at least GROUP_BYTES except the last one."""
    tables: list[pa.Table] = []
    for path in paths:
        tables.append(read_table(path, columns))
        if sum(table.nbytes for table in tables) >= GROUP_BYTES:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)
