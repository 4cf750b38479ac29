"""Embedding extraction: the job of `python -m app.features`, and the files that it writes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.components import component_modules
from models.inference.extract_step import KINDS, FeaturesStep
from models.inference.vectors import COLUMN_SIDES, WINDOW_COLUMNS, Vectors, open_writer, to_array
from pipeline import PREFIX
from pipeline.engine import runner
from pipeline.store.atomic import atomic_write, write_table
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import Layout, digest, read_table
from pipeline.store.metric_files import write_json
from pipeline.store.shards import Shards

CHECKPOINT = f"{PREFIX}models.checkpoint"  # not imported here, because it imports torch
GROUP = 32 << 20  # bytes of a row group


def input_row(clip: dict) -> dict[str, Any]:
    """Return what the step reads of a row of a folder's clip table. Labels are left out: they may change."""
    row = {"clip_id": clip["clip_id"], "path": clip["video_id"], "start": clip["start"], "end": clip["end"]}
    return row | {side: clip[side] is not None for side in KINDS}


def job(step: FeaturesStep, config: dict[str, Any], out: Path, facts: list) -> runner.Job:
    """Return the job that writes shards to `out`/.shards. facts: for each clip, the stamp of its file."""
    code = code_digest(FeaturesStep, CHECKPOINT, *component_modules(config))
    fingerprint = digest(step.identity, config, step.side, step.every, code)
    layout = Layout(out / ".shards", Vectors(), (("windows", pa.int32()),))
    return runner.Job("features", step, layout, fingerprint, file_stamps=facts)


def write(
    job: runner.Job, config: dict[str, Any], rows: list[dict], index: pa.Table, out: Path, file_format: str
) -> dict[str, Any]:
    """Write the files of `out` from the shards of a finished job. Returns the content of features.json.

    rows: the clips. file_format: parquet, or npy: a file for each column, (n, dim) float32 with NaN where
    missing. Files of an earlier run are replaced. If there is no vector, only index.parquet and
    features.json are written.
    """
    _delete_old_files(out)
    shards = range(max(index["shard"].to_pylist(), default=-1) + 1)
    paths = [Shards.from_layout(job.shards).data_path(shard) for shard in shards]
    counts = [pq.read_metadata(path).num_rows for path in paths]
    paths, n_windows = [path for path, count in zip(paths, counts, strict=True) if count], sum(counts)
    dims = _write_vectors(paths, n_windows, out, file_format)
    statuses = _write_index(index, rows, out)
    step: Any = job.step
    summary = {
        "model": {"identity": step.identity}
        | {key: config.get(key) for key in ("task", "modality", "input")},
        "inputs": config["inputs"],
        "side": step.side,
        "every": step.every,
        "format": file_format,
        "clips": dict(sorted(Counter(statuses).items())),
        "windows": n_windows,
        "dim": dims,
    }
    write_json(summary, out / "features.json")
    return summary


def _delete_old_files(out: Path) -> None:
    names = ["features.parquet", "clips.parquet", *(f"{column}.npy" for column in COLUMN_SIDES)]
    for path in [*(out / name for name in names), *out.glob(".*.tmp")]:
        path.unlink(missing_ok=True)


def _write_vectors(paths: list[Path], n_windows: int, out: Path, file_format: str) -> dict[str, int]:
    """Write the rows of all shards. Returns the dimension of each column of vectors."""
    if not paths:
        return {}
    schema = pq.read_schema(paths[0])
    dims = {name: schema.field(name).type.list_size for name in schema.names if name in COLUMN_SIDES}
    file_name = "features.parquet" if file_format == "parquet" else "clips.parquet"
    columns = schema.names if file_format == "parquet" else list(WINDOW_COLUMNS)
    table_schema = pa.schema(map(schema.field, columns))
    with atomic_write(out / file_name) as part, open_writer(part, table_schema) as writer:
        for table in _read_groups(paths, columns):
            writer.write_table(table)
    for name, dim in dims.items() if file_format == "npy" else ():
        with atomic_write(out / f"{name}.npy") as part, open(part, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_windows, dim)}
            np.lib.format.write_array_header_1_0(file, header)
            for table in _read_groups(paths, [name]):
                file.write(to_array(table[name]).data)
    return dims


def _write_index(index: pa.Table, rows: list[dict], out: Path) -> list[str]:
    """Write index.parquet, a row for each clip. Returns their statuses."""
    columns = index.select(["clip_id", "windows", "status", "detail"]).to_pydict()
    columns["path"] = [row["path"] for row in rows]
    columns["detail"] = [text.replace("engine.timeout", "--timeout") for text in columns["detail"]]
    types = {"windows": pa.int32()}
    names = ("clip_id", "path", "windows", "status", "detail")
    table = pa.table({name: pa.array(columns[name], types.get(name, pa.string())) for name in names})
    write_table(table, out / "index.parquet")
    return columns["status"]


def _read_groups(paths: list[Path], columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of all shards in tables of about GROUP bytes."""
    tables: list[pa.Table] = []
    for path in paths:
        tables.append(read_table(path, columns))
        if sum(table.nbytes for table in tables) >= GROUP:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)
