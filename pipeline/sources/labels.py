"""Labels of clips from a list beside the data (`data.labels`), joined to the clip table by their ids.

The list is a CSV with a header: a column with the id (IDS), `label` or `labels` (separated by `;`), and
perhaps `subject`, `split`, `start` and other facts. Or it is one without a header, as VGGSound's: YouTube id,
start in seconds, label, split.

A clip is found by its id, or by the name of its file without folders and extension; where the list has a
start, also by `<id>_<start, six digits>`, as cut clips are named.
"""

import csv
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.sources import Clips
from pipeline.sources.archive.facts import Facts, common_columns, from_mapping
from pipeline.sources.folder.extensions import MEDIA, split_extension
from pipeline.sources.messages import quote
from pipeline.store import clip_table

IDS = ("clip_id", "id", "video_id", "youtube_id", "ytid", "path", "file", "filename", "name")
VGGSOUND = ("id", "start", "label", "split")  # columns of a list without a header
MAX_BYTES = 500 << 20  # of the list


def join(table: pa.Table, path: str) -> Clips:
    """Return the clips with the labels in the list `path`, and lines about what did not match.

    A row of the list sets labels, subject and split where it has them; other columns are appended to the
    table. Raises UserError if the list cannot be read, or if no row matches a clip.
    """
    facts_by_name, n_rows = _read_list(path)
    rows = table.to_pylist()
    matches: list[Facts | None] = []
    used: set[int] = set()
    for row in rows:
        facts = next((facts_by_name[name] for name in _names(row) if name in facts_by_name), None)
        matches.append(facts)
        used.add(id(facts))
    n_used = len(used - {id(None)})
    if not n_used:
        first_clips = ", ".join(quote(row["clip_id"]) for row in rows[:2])
        first_rows = ", ".join(quote(name) for name in list(facts_by_name)[:2])
        raise UserError(
            f"data.labels: {path}: no row has the id of a clip: clips are {first_clips}, …;"
            f" ids in the list are {first_rows}, …"
        )
    columns, _ = common_columns(facts for facts in matches if facts)
    columns = [name for name in columns if name not in table.schema.names]
    for row, facts in zip(rows, matches, strict=True):
        if facts:
            row["labels"] = facts.labels or row["labels"]
            row["subject"] = facts.subject or row["subject"]
            row["split"] = facts.split or row["split"]
            row |= {name: facts.other.get(name) for name in columns}
    lines = []
    if n_unlabelled := matches.count(None):
        lines.append(f"{n_unlabelled} clips are not in {path}: they keep the labels of the source")
    if n_unused := n_rows - n_used:
        lines.append(f"{n_unused} of {n_rows} clips in {path} are not in the data")
    schema = pa.schema([*table.schema, *((name, pa.string()) for name in columns)])
    return Clips(clip_table.validate(pa.Table.from_pylist(rows, schema=schema), path), lines)


def _names(row: dict[str, Any]) -> Iterator[str]:
    """Yield the names by which the list may call a clip. row: of the clip table."""
    yield row["clip_id"]
    for column in ("video_id", "video", "audio"):
        if row.get(column):
            yield _stem(row[column])


def _stem(path: str) -> str:
    """Return the name of a file without folders, without the archive, and without the extension of media."""
    name = path.rpartition("/")[2].rpartition("::")[2]
    stem, extension = split_extension(name)
    return stem if extension in MEDIA else name


def _read_list(path: str) -> tuple[dict[str, Facts], int]:
    """Return the facts in the list by each name of a clip, and the number of its clips."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            if f.seek(0, 2) > MAX_BYTES:
                raise UserError(f"data.labels: {path}: more than {MAX_BYTES >> 20} MB")
            f.seek(0)
            lines = list(csv.reader(f, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"data.labels: {path}: cannot be read ({e})") from None
    lines = [line for line in lines if any(field.strip() for field in line)]
    if not lines:
        raise UserError(f"data.labels: {path}: empty")
    header = [name.strip().lower() for name in lines[0]]
    id_column = next((name for name in IDS if name in header), None)
    if id_column:
        lines = lines[1:]
    elif len(header) == len(VGGSOUND) and header[1].isdecimal():
        header, id_column = list(VGGSOUND), "id"
    else:
        raise UserError(
            f"data.labels: {path}: line 1: no column with ids: give it a header with {', '.join(IDS[:2])} and"
            " label, or the columns YouTube id, start, label, split"
        )
    facts_by_name: dict[str, Facts] = {}
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            raise UserError(
                f"data.labels: {path}: row {number}: {len(line)} fields, not {len(header)}: quote a comma"
            )
        values: dict[str, Any] = dict(zip(header, line, strict=True))
        if "labels" in values:
            values["labels"] = values["labels"].split(";")
        name = _stem(values[id_column].strip())
        facts = from_mapping({key: value for key, value in values.items() if key != id_column})
        start = values.get("start", "").strip()
        if start.replace(".", "", 1).isdecimal():
            facts_by_name.setdefault(f"{name}_{int(float(start)):06d}", facts)
        elif first := facts_by_name.get(name):  # several rows of one clip: several labels
            first.labels = list(dict.fromkeys(first.labels + facts.labels))
        facts_by_name.setdefault(name, facts)
    return facts_by_name, len({id(facts) for facts in facts_by_name.values()})
