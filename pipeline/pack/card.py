"""The card of a data set: README.md as Hugging Face reads it, with the types of the columns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from huggingface_hub import DatasetCardData
from markupsafe import Markup

from pipeline.pack import features
from pipeline.pack.selection import QUALITY_PREFIX, Selection
from pipeline.pack.shard_files import parquet_features, tar_features
from pipeline.pack.writer import DATA, MB, Record, Settings
from pipeline.report.data_sources import SourceDescription
from pipeline.report.markdown import render_markdown
from pipeline.store.status import STATUSES

MAX_LABELS = 100  # that the card lists
SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}
COLUMNS = {  # of the rows of the clips -> description
    "clip_id": "name of the clip",
    "start": "where the clip begins in its source's file, s; null: at its beginning",
    "end": "where it ends, s; null: at its end",
    "labels": "its labels",
    "subject": "the person who is seen and heard",
    "split": "train, val or test",
    "frame_times": "when each frame is shown, s from the start of the clip",
}
CONTENT_COLUMNS = {
    "sound": "mono WAV, 16 bit, as models of the project hear it",
    "frames": "PNG files, evenly spaced over the clip, as models of the project see them",
    "media": "the file of the source with the picture, and usually the sound, as it was",
    "media_sound": "the file of the source with the sound, if it is another file",
}
TASKS = {"sound": "audio-classification", "frames": "video-classification", "media": "video-classification"}


@dataclass(frozen=True)
class DataSet:
    """What a data set is made of. name: its title. repo: USER/REPO on Hugging Face; None: it is not there."""

    name: str
    source: SourceDescription
    selection: Selection
    settings: Settings
    records: list[Record]
    repo: str | None = None

    @property
    def features(self) -> dict[str, features.Feature]:
        """The types of the columns, as `datasets` reads them."""
        schema = self.selection.rows.schema
        if self.settings.format == "webdataset":
            return tar_features(schema, [member for record in self.records for member in record.members])
        return parquet_features(schema, self.settings.contents)

    def records_of(self, split: str) -> list[Record]:
        """Return the shards of one split."""
        return [record for record in self.records if record.split == split]

    @property
    def splits(self) -> list[str]:
        """The splits that have clips."""
        return list(dict.fromkeys(record.split for record in self.records))


def render_card(data_set: DataSet) -> str:
    """Return the text of README.md. Labels and names are escaped: they cannot add markup to the card."""
    selection, rows = data_set.selection, data_set.selection.rows
    labels = pc.value_counts(pc.list_flatten(rows["labels"])).to_pylist()
    first_split, folder = data_set.splits[0], f"path/to/{data_set.name}"
    place = data_set.repo or folder  # WebDataset reads tars that are on this machine, or by their URLs
    labels.sort(key=lambda count: (-count["counts"], count["values"]))
    return render_markdown(
        Path(__file__).with_name("card_template.md"),
        front=Markup(_front_matter(data_set).to_yaml()),
        name=data_set.name,
        place=Markup(json.dumps(place)),
        shards=Markup(json.dumps(f"{folder}/{DATA}/{_shard_pattern(data_set.records_of(first_split))}")),
        is_tar=data_set.settings.format == "webdataset",
        contents=data_set.settings.contents,
        source=data_set.source,
        splits=[_describe_split(data_set, split) for split in data_set.splits],
        first_split=first_split,
        labels=labels[:MAX_LABELS],
        n_labels=len(labels),
        n_subjects=pc.count_distinct(rows["subject"]).as_py(),
        columns=list(_describe_columns(data_set)),
        quality=list(_describe_quality(rows)),
        left_out=_count_left_out(selection.left_out),
        n_clips=selection.n_clips,
        n_packed=len(rows),
        n_other_splits=selection.n_other_splits,
    )


def _front_matter(data_set: DataSet) -> DatasetCardData:
    """Return the properties at the beginning of the card, which Hugging Face and `datasets` read."""
    n_clips, records = len(data_set.selection.rows), data_set.records
    suffix = Path(records[0].name).suffix
    splits = [
        {
            "name": split,
            "num_bytes": sum(record.n_bytes for record in data_set.records_of(split)),
            "num_examples": sum(record.n_clips for record in data_set.records_of(split)),
        }
        for split in data_set.splits
    ]
    total_bytes = sum(record.n_bytes for record in records)
    modalities = {"sound": "audio", "frames": "image", "media": "video"}
    return DatasetCardData(
        pretty_name=data_set.name,
        license="mit" if data_set.source.is_synthetic else "other",
        license_name=None if data_set.source.is_synthetic else "rights-of-the-sources",
        task_categories=list(dict.fromkeys(TASKS[content] for content in data_set.settings.contents)) or None,
        size_categories=[next((name for size, name in SIZES.items() if n_clips < size), "n>10M")],
        tags=["earsight", data_set.settings.format, *(modalities[c] for c in data_set.settings.contents)],
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{DATA}/{split}-*{suffix}"} for split in data_set.splits
                ],
            }
        ],
        dataset_info={
            "features": features.to_yaml(data_set.features),
            "splits": splits,
            "download_size": total_bytes,
            "dataset_size": total_bytes,
        },
    )


def _shard_pattern(records: list[Record]) -> str:
    """Return the names of some shards as WebDataset expands them: `train-{00000..00002}.tar`."""
    first, last = records[0].name, records[-1].name
    stem, _, number = first.removesuffix(".tar").rpartition("-")
    last_number = last.removesuffix(".tar").rpartition("-")[2]
    return first if first == last else f"{stem}-{{{number}..{last_number}}}.tar"


def _describe_split(data_set: DataSet, split: str) -> dict[str, Any]:
    records = data_set.records_of(split)
    return {
        "name": split,
        "clips": sum(record.n_clips for record in records),
        "shards": len(records),
        "mb": f"{sum(record.n_bytes for record in records) / MB:.1f}",
    }


def _describe_columns(data_set: DataSet) -> Iterator[tuple[str, str, str]]:
    """Yield (name, type, description) of the columns, or of the members of a tar."""
    for field in data_set.selection.rows.schema:
        in_quality = field.name.startswith(QUALITY_PREFIX)
        description = COLUMNS.get(
            field.name, "of the stage quality" if in_quality else "a column of the source"
        )
        yield field.name, str(field.type), description
    if data_set.settings.format == "parquet":
        for name in data_set.features:
            if name in CONTENT_COLUMNS:
                kind = data_set.features[name]["_type"].replace("List", "list of Image")
                yield name, kind, CONTENT_COLUMNS[name]


def _describe_quality(rows: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield (column, summary) of the columns of the stage `quality`: a share, or limits and median."""
    for name in rows.column_names:
        column = rows[name]
        if not name.startswith(QUALITY_PREFIX) or not pc.count(column).as_py():
            continue
        if pa.types.is_boolean(column.type):
            yield name, f"true for {pc.mean(column).as_py():.1%} of the clips"
        elif pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
            counts = pc.value_counts(pc.list_flatten(column)).to_pylist()
            counts.sort(key=lambda count: (-count["counts"], count["values"]))
            yield name, ", ".join(f"{count['values']} ({count['counts']})" for count in counts) or "none"
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            median = pc.quantile(column, 0.5)[0].as_py()
            limits = pc.min_max(column).as_py()
            yield name, f"{limits['min']:.4g} to {limits['max']:.4g}, median {median:.4g}"


def _count_left_out(left_out: pa.Table) -> list[dict[str, Any]]:
    """Return {"missing", "status", "meaning", "clips"} for each reason, the most frequent first."""
    counts = left_out.group_by(["missing", "status"]).aggregate([([], "count_all")]).to_pylist()
    counts.sort(key=lambda count: (-count["count_all"], count["missing"], count["status"]))
    return [
        {
            "missing": count["missing"],
            "status": count["status"],
            "meaning": STATUSES.get(count["status"], ""),
            "clips": count["count_all"],
        }
        for count in counts
    ]
