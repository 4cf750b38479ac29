"""The table metrics/predictions.parquet: what a model predicted for each test clip, pair, query and trial.

A row is one prediction; its `kind` says of what:

- `pair`: does the sound of `clip_id` belong to the picture of `other_clip_id`? The `score` is the matcher's;
  from THRESHOLD on it predicts a match.
- `query`: `clip_id` is the query of retrieval in the direction `name`. `rank` is that of its counterpart or,
  within a modality, of the first relevant clip, from 1 on. The query's own metrics follow.
- `class`: a classifier's answer for `clip_id`.
- `trial`: do `clip_id` and `other_clip_id` show the same person, by the modality `name`?

Columns that do not apply to a kind are null. The metadata of the table, JSON under METADATA, holds `classes`,
the names of `probabilities`, and `multilabel`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.metrics import retrieval
from pipeline.store.atomic import write_table

FILE = "predictions.parquet"
METADATA = b"earsight"
KINDS = ("pair", "query", "class", "trial")
THRESHOLD = 0.0  # of the scores of pairs, which are calibrated
TOP = 5  # classes in `top_classes`

TEXTS = pa.list_(pa.string())
NUMBERS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),  # of the direction or modality; otherwise empty
        pa.field("fold", pa.int32()),  # of a cross-validation
        pa.field("split", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),  # what intervals resample: the video, or the person
        pa.field("labels", TEXTS, nullable=False),
        pa.field("flags", TEXTS),  # of data/quality.parquet; null without that table
        pa.field("other_clip_id", pa.string()),
        pa.field("other_group", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("other_flags", TEXTS),
        pa.field("score", pa.float64()),
        pa.field("is_match", pa.bool_()),  # whether the two clips do belong together
        pa.field("rank", pa.int32()),
        *(pa.field(metric, pa.float64()) for metric in retrieval.METRICS),
        pa.field("actual", TEXTS),
        pa.field("predicted", TEXTS),
        pa.field("top_classes", TEXTS),  # the most probable ones, and their probabilities
        pa.field("top_probabilities", NUMBERS),
        pa.field("probabilities", NUMBERS),  # of all classes
    ]
)


def class_columns(
    probabilities: np.ndarray, targets: np.ndarray, classes: list[str], multilabel: bool
) -> dict:
    """Return the columns of SCHEMA about a classifier's answers.

    probabilities: (n, C). targets: (n, C) bool. classes: their C names. multilabel: whether a clip can have
    several classes: those above one half are predicted.
    """
    names = np.array(classes, object)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    top = order[:, :1]
    predicted = [names[row > 0.5].tolist() for row in probabilities] if multilabel else names[top].tolist()
    return {
        "actual": [names[row].tolist() for row in targets],
        "predicted": predicted,
        "top_classes": names[order].tolist(),
        "top_probabilities": np.take_along_axis(probabilities, order, axis=1).tolist(),
        "probabilities": probabilities.tolist(),
    }


def make_table(
    columns: dict[str, Any], classes: list[str] | None = None, multilabel: bool = False
) -> pa.Table:
    """Return a table of SCHEMA. columns: arrays or lists of one length; NaN and missing columns are null.

    classes: the names of `probabilities`, if there are any.
    """
    n = len(columns["clip_id"])
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(n, field.type)
        for field in SCHEMA
    ]
    return pa.table(arrays, SCHEMA.with_metadata(_metadata(classes or [], multilabel)))


def write(tables: list[pa.Table], path: str | Path) -> None:
    """Write tables of SCHEMA as one file. Creates the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_table(concatenate(tables), Path(path))


def concatenate(tables: list[pa.Table]) -> pa.Table:
    """Join tables of SCHEMA. If they are of classifiers of different classes, it has the classes of all."""
    class_lists = [read_classes(table)[0] for table in tables]
    classes = sorted({name for names in class_lists for name in names})
    joined = [SCHEMA.empty_table()]
    for table, names in zip(tables, class_lists, strict=True):
        table = table.replace_schema_metadata(None)
        joined.append(table if names in ([], classes) else _extend_classes(table, names, classes))
    multilabel = any(read_classes(table)[1] for table in tables)
    return pa.concat_tables(joined).replace_schema_metadata(_metadata(classes, multilabel))


def _extend_classes(table: pa.Table, names: list[str], classes: list[str]) -> pa.Table:
    """Return a table whose `probabilities` are of more classes; the other ones are 0. names: the present."""
    places = [classes.index(name) for name in names]
    column = SCHEMA.get_field_index("probabilities")
    rows: list[list[float] | None] = []
    for values in table["probabilities"].to_pylist():
        row = np.zeros(len(classes))
        if values is not None:
            row[places] = values
        rows.append(None if values is None else row.tolist())
    return table.set_column(column, SCHEMA.field(column), pa.array(rows, NUMBERS))


def _metadata(classes: list[str], multilabel: bool) -> dict[bytes, str] | None:
    """Return the metadata of a table; None without classes."""
    return {METADATA: json.dumps({"classes": classes, "multilabel": multilabel})} if classes else None


def read(file: Any, name: str) -> pa.Table:
    """Read a table of SCHEMA. file: a path or an open file. name: of it, for messages.

    Raises UserError if it is no such table.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            table = parquet.read(use_threads=False)
    except (OSError, ValueError) as e:  # pyarrow's errors are subclasses of ValueError
        raise UserError(
            f"{name}: cannot be read ({str(e).splitlines()[0]}): run dvc repro evaluate"
        ) from None
    missing = set(SCHEMA.names) - set(table.column_names)
    if missing or any(table.schema.field(field.name).type != field.type for field in SCHEMA):
        raise UserError(f"{name}: not a table of predictions of this version: run dvc repro evaluate")
    return table.select(SCHEMA.names)


def read_classes(table: pa.Table) -> tuple[list[str], bool]:
    """Return the names of the classes of `probabilities`, and whether a clip can have several."""
    content = json.loads((table.schema.metadata or {}).get(METADATA, b'{"classes": [], "multilabel": false}'))
    return content["classes"], content["multilabel"]
