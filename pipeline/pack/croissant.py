"""Croissant metadata of a data set, croissant.json: its files with their checksums, and its columns.

Source: MLCommons, Croissant Format Specification, version 1.0.
"""

from typing import Any

import pyarrow as pa

from pipeline.pack.card import COLUMNS, CONTENT_COLUMNS, DataSet
from pipeline.pack.writer import DATA

CLIPS, SHARDS, RECORDS = "clips.parquet", "shards", "clips"
MEDIA_TYPES = {"sound": "sc:AudioObject", "media": "sc:VideoObject", "media_sound": "sc:AudioObject"}
MIT = "https://spdx.org/licenses/MIT.html"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


MEMBERS = {  # in tars -> (name of the set, encoding format)
    "*.json": ("rows", "application/json"),
    "*.wav": ("sounds", "audio/wav"),
    "*.png": ("frames", "image/png"),
}


def describe(data_set: DataSet, clips_sha256: str) -> dict[str, Any]:
    """Return the content of croissant.json. clips_sha256: the checksum of the table of clips."""
    source, is_tar = data_set.source, data_set.settings.format == "webdataset"
    clips = _file(CLIPS, CLIPS, "application/x-parquet", clips_sha256)
    shards = [
        _file(record.name, f"{DATA}/{record.name}", _shard_format(data_set), record.sha256)
        | {"contentSize": f"{record.n_bytes} B"}
        for record in data_set.records
    ]
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": data_set.name,
        "description": f"Clips of {source.text}, packed with Earsight. Rights: {source.rights}.",
        "license": MIT if source.is_synthetic else f"The rights of the source: {source.rights}",
        "version": "1.0.0",
        "distribution": [clips, *shards, *(_member_sets(data_set) if is_tar else [_shard_set()])],
        "recordSet": [_record_set(data_set)],
    }
    url = f"https://huggingface.co/datasets/{data_set.repo}" if data_set.repo else source.url
    return content | ({"url": url} if url else {})


def _file(name: str, path: str, encoding_format: str, sha256: str) -> dict[str, Any]:
    entry = {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": path}
    return entry | {"encodingFormat": encoding_format, "sha256": sha256}


def _shard_format(data_set: DataSet) -> str:
    return "application/x-tar" if data_set.settings.format == "webdataset" else "application/x-parquet"


def _shard_set() -> dict[str, Any]:
    """Return the set of all Parquet shards, from which the rows are read."""
    entry = {"@type": "cr:FileSet", "@id": SHARDS, "name": SHARDS}
    return entry | {"encodingFormat": "application/x-parquet", "includes": f"{DATA}/*.parquet"}


def _member_sets(data_set: DataSet) -> list[dict[str, Any]]:
    """Return the sets of files in the tars: rows, sounds, frames."""
    suffixes = {name.rpartition(".")[2] for record in data_set.records for name in record.members}
    return [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "containedIn": [{"@id": record.name} for record in data_set.records],
            "encodingFormat": encoding_format,
            "includes": pattern,
        }
        for pattern, (name, encoding_format) in MEMBERS.items()
        if pattern.removeprefix("*.") in suffixes
    ]


def _record_set(data_set: DataSet) -> dict[str, Any]:
    """Return the columns whose values are numbers, text, sounds or videos, or lists of numbers or text.

    They are read from the Parquet shards, or beside tars from the table of clips, which has no media.
    """
    is_tar = data_set.settings.format == "webdataset"
    source = {"fileObject": {"@id": CLIPS}} if is_tar else {"fileSet": {"@id": SHARDS}}
    fields = []
    for field in data_set.selection.rows.schema:
        value_type, is_repeated = field.type, False
        if pa.types.is_list(value_type):
            value_type, is_repeated = value_type.value_type, True
        if data_type := _data_type(value_type):
            entry = _field(field.name, data_type, source | {"extract": {"column": field.name}})
            fields.append(entry | ({"repeated": True} if is_repeated else {}))
    if not is_tar:
        for name, data_type in MEDIA_TYPES.items():
            if name in data_set.features:
                content = {"extract": {"column": name}, "transform": {"jsonPath": "bytes"}}
                fields.append(_field(name, data_type, source | content))
    entry = {"@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS}
    return entry | {"key": {"@id": f"{RECORDS}/clip_id"}, "field": fields}


def _field(name: str, data_type: str, source: dict[str, Any]) -> dict[str, Any]:
    entry = {"@type": "cr:Field", "@id": f"{RECORDS}/{name}", "name": name, "dataType": data_type}
    description = (COLUMNS | CONTENT_COLUMNS).get(name)
    return entry | {"source": source} | ({"description": description} if description else {})


def _data_type(value_type: pa.DataType) -> str | None:
    """Return Croissant's name of a type of pyarrow; None for a type that it does not name."""
    types = pa.types
    for is_type, name in (
        (types.is_boolean, "sc:Boolean"),
        (types.is_integer, "sc:Integer"),
        (types.is_floating, "sc:Float"),
        (types.is_string, "sc:Text"),
        (types.is_large_string, "sc:Text"),
    ):
        if is_type(value_type):
            return name
    return None
