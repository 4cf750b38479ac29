"""A data set in a folder: its shards, its card, its Croissant metadata, and the list of what is left out."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, explain_disk_error
from pipeline.pack import croissant, writer
from pipeline.pack.card import DataSet, render_card
from pipeline.pack.selection import CLIPS, Selection
from pipeline.report.data_sources import SOURCES, YOUTUBE, SourceDescription, describe_source
from pipeline.store import clip_table
from pipeline.store.atomic import atomic_write, write_table
from pipeline.store.output_folder import lock_folder, prepare_output_folder

CARD, CROISSANT, LEFT_OUT = "README.md", "croissant.json", "left_out.csv"
YOUTUBE_ADDRESS = r"^https?://([a-z-]+\.)?(youtube\.com|youtu\.be)/"


def read_source() -> SourceDescription:
    """Return the description of the source of this project's clips, which the stage `source` names.

    A source that is not described and whose clips have addresses of YouTube is one of YouTube.
    """
    path = Path("data/source.json")
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["source"]
        if name in SOURCES:
            return SOURCES[name]
    except FileNotFoundError:
        raise UserError(f"{path}: not there: run dvc repro in the project's root first") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: cannot be read: delete it and run dvc repro") from None
    addresses = clip_table.read(CLIPS)["video"]
    if pc.any(pc.match_substring_regex(addresses, YOUTUBE_ADDRESS)).as_py():
        return describe_source(name)._replace(rights=YOUTUBE, is_youtube=True)
    return describe_source(name)


def write_data_set(
    out: Path,
    selection: Selection,
    settings: writer.Settings,
    source: SourceDescription,
    name: str,
    repo: str | None = None,
) -> DataSet:
    """Write a data set of the selected clips to the folder `out`, or what is missing of it.

    name: its title. repo: where it will be on Hugging Face, USER/REPO, for the card.
    Raises UserError if `out` is of something else, a clip cannot be read, or the disk is full.
    """
    prepare_output_folder(out, writer.STATE)
    try:
        with lock_folder(out):
            records = writer.write(selection, settings, out)
            data_set = DataSet(name, source, selection, settings, records, repo)
            _write_text(out / LEFT_OUT, _format_csv(selection.left_out))
            write_table(_clips_with_shards(data_set), out / croissant.CLIPS)
            clips_sha256 = hashlib.sha256((out / croissant.CLIPS).read_bytes()).hexdigest()
            metadata = json.dumps(croissant.describe(data_set, clips_sha256), indent=2, ensure_ascii=False)
            _write_text(out / CROISSANT, metadata + "\n")
            _write_text(out / CARD, render_card(data_set))
    except OSError as e:
        if error := explain_disk_error(e, str(out)):
            raise error from None
        raise
    return data_set


def _clips_with_shards(data_set: DataSet) -> pa.Table:
    """Return the rows of all clips of a data set, with a column `shard`: the name of the file."""
    names: list[str | None] = [None] * len(data_set.selection.rows)
    splits = data_set.selection.rows["split"].to_pylist()
    for split in data_set.splits:
        rows = [row for row, clip_split in enumerate(splits) if clip_split == split]
        shards = [record.name for record in data_set.records_of(split) for _ in range(record.n_clips)]
        for row, shard in zip(rows, shards, strict=True):
            names[row] = shard
    return data_set.selection.rows.append_column("shard", pa.array(names, pa.string()))


def _format_csv(table: pa.Table) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table.column_names)
    rows.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(text, encoding="utf-8")
