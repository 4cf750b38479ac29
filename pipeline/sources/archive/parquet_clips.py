"""From the rows of Parquet files to clips: a row is a clip, with columns of bytes as `datasets` has them."""

import json
import posixpath
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.media.members import MediaError, ParquetMember
from pipeline.media.members.parquet_values import open_file
from pipeline.sources.archive.entries import Entry
from pipeline.sources.archive.facts import from_mapping
from pipeline.sources.folder.extensions import MEDIA, PICTURE, SOUND, split_extension
from pipeline.sources.messages import quote_first

KINDS = {"Audio": "sound", "Image": "picture", "Video": "both"}  # type of a feature of `datasets` -> of media
NAMES = {"audio": "sound", "sound": "sound", "image": "picture", "picture": "picture", "video": "both"}
EXTENSIONS = {
    "sound": "wav",
    "picture": "jpg",
    "both": "mp4",
}  # where a row has no name; ffmpeg finds the format
KEYS = ("clip_id", "id", "key", "__key__")  # columns with the name of a clip: the first that is there
MAX_FACT_COLUMNS = 50
MAX_CHUNK = 1 << 29  # bytes of names or facts of a row group, as unpacked
BATCH = 1000  # rows of names and facts in memory


@dataclass(frozen=True)
class Columns:
    """What the columns of a Parquet file are.

    media: column -> kind of its media. is_struct: those that are structs of bytes and path. facts: other
    columns that are read. class_names: column -> names of its classes, where it holds their numbers.
    """

    media: dict[str, str]
    is_struct: set[str]
    facts: list[str]
    class_names: dict[str, list[str]]

    @classmethod
    def from_schema(cls, schema: pa.Schema) -> "Columns":
        """Return the columns of a file with this schema. Its metadata are those of `datasets`, or none."""
        features = _read_features(schema)
        media: dict[str, str] = {}
        facts: list[str] = []
        for field in schema:
            if "." in field.name:
                continue  # pyarrow takes such a name for a path
            bytes_type = field.type.field("bytes").type if _has_bytes(field.type) else field.type
            if pa.types.is_binary(bytes_type) or pa.types.is_large_binary(bytes_type):
                if kind := _kind(field.name, features) or ("" if bytes_type is field.type else "both"):
                    media[field.name] = kind
            elif _is_fact(field.type) and len(facts) < MAX_FACT_COLUMNS:
                facts.append(field.name)
        is_struct = {name for name in media if pa.types.is_struct(schema.field(name).type)}
        class_names = {name: names for name in facts if (names := _class_names(features.get(name)))}
        return cls(media, is_struct, facts, class_names)


def list_clips(archive: str) -> tuple[list[Entry], list[str]]:
    """Return the clips in a Parquet file, in its order, and a line if it has no media.

    Only names and facts are read, no media. Raises UserError if the file cannot be read.
    """
    try:
        file = open_file(archive)
        schema = file.schema_arrow
        columns = Columns.from_schema(schema)
        if not columns.media:
            columns_text = quote_first(schema.names)
            return [], [
                f"{archive}: left out, since no column has media (bytes, or a struct of bytes and path):"
                f" {columns_text}"
            ]
        selected = [f"{name}.path" for name in columns.is_struct if _has_path(schema.field(name).type)]
        selected += columns.facts
        _check_size(archive, file, selected)
        entries: list[Entry] = []
        for group in range(file.num_row_groups):
            row = 0
            for batch in file.iter_batches(BATCH, [group], selected, use_threads=False):
                for values in batch.to_pylist():
                    entries.append(_make_entry(archive, columns, group, row, values, len(entries)))
                    row += 1
        return entries, []
    except MediaError as e:
        raise UserError(f"{archive}: {e}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
        raise UserError(f"{archive}: cannot be read ({str(e).splitlines()[0]}): download it again") from None


def _make_entry(
    archive: str, columns: Columns, group: int, row: int, values: dict[str, Any], number: int
) -> Entry:
    """Return the clip of a row. group: its row group. row: in the group. number: in the file."""
    entry = Entry(archive, f"{number:06d}")
    for name, kind in sorted(columns.media.items(), key=lambda item: item[1] != "both"):  # a video first
        path = ""
        if name in columns.is_struct and name in values:
            if values[name] is None:  # no media in this row
                continue
            path = values[name].get("path") or ""
        file_name = posixpath.basename(path) or f"{number:06d}.{EXTENSIONS[kind]}"
        kind = kind if kind != "both" else _kind_of_file(file_name)
        column = f"{name}.bytes" if name in columns.is_struct else name
        location = str(ParquetMember(group, row, column, archive, file_name))
        if path:
            entry.key = split_extension(file_name)[0]
        if kind != "picture":
            entry.audio = entry.audio or location
        if kind != "sound":
            entry.video = entry.video or location
    facts = {name: _name_classes(values.get(name), columns.class_names.get(name)) for name in columns.facts}
    entry.key = next((str(facts[name]) for name in KEYS if facts.get(name)), entry.key)
    entry.facts = from_mapping({name: value for name, value in facts.items() if name not in KEYS})
    return entry


def _check_size(archive: str, file: pq.ParquetFile, columns: list[str]) -> None:
    """Raise UserError if a row group has names or facts of more than 512 MB."""
    for group in range(file.num_row_groups):
        row_group = file.metadata.row_group(group)
        for i in range(row_group.num_columns):
            chunk = row_group.column(i)
            path = chunk.path_in_schema
            is_read = path in columns or path.partition(".")[0] in columns
            if is_read and chunk.total_uncompressed_size > MAX_CHUNK:
                raise UserError(f"{archive}: column {path} has more than {MAX_CHUNK >> 20} MB in a row group")


def _read_features(schema: pa.Schema) -> dict[str, Any]:
    """Return column -> its feature, as `datasets` writes them; none if the metadata hold none."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind(name: str, features: dict[str, Any]) -> str:
    """Return the kind of media in a column: by its feature or its name; empty if neither tells."""
    feature = features.get(name)
    if isinstance(feature, dict) and isinstance(feature.get("_type"), str) and feature["_type"] in KINDS:
        return KINDS[feature["_type"]]
    name = name.lower()
    return NAMES.get(name) or (_kind_of_file(f"x.{name}") if name in MEDIA else "")


def _kind_of_file(name: str) -> str:
    """Return the kind of media in a file, by its extension."""
    extension = split_extension(name)[1]
    return "sound" if extension in SOUND else "picture" if extension in PICTURE else "both"


def _has_bytes(data_type: pa.DataType) -> bool:
    return pa.types.is_struct(data_type) and data_type.get_field_index("bytes") >= 0


def _has_path(data_type: pa.DataType) -> bool:
    index = data_type.get_field_index("path")
    return index >= 0 and pa.types.is_string(data_type.field(index).type)


def _is_fact(data_type: pa.DataType) -> bool:
    """Return whether a column holds text or numbers, or lists of them."""
    if pa.types.is_list(data_type) or pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    is_text = pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
    return is_text or pa.types.is_integer(data_type) or pa.types.is_floating(data_type)


def _class_names(feature: Any) -> list[str]:
    """Return the names of the classes of a feature, or of a list of them; none if it is another."""
    if isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _name_classes(value: Any, names: list[str] | None) -> Any:
    """Return the names of classes in place of their numbers. names: None: leave the value as it is."""
    if isinstance(value, list):
        return [_name_classes(item, names) for item in value]
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value
