"""One file of a data set: a tar of WebDataset, or a Parquet file that Hugging Face `datasets` plays."""

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pack import features
from pipeline.pack.features import Feature
from pipeline.pack.values import File, Sample
from pipeline.sources.folder.extensions import PICTURE
from pipeline.store.formats import ENCODED_FILE

ROW_GROUP_ROWS, ROW_GROUP_BYTES = 100, 32 * 10**6  # what a reader of one row has to read, at most
JSON_MEMBER, SOUND_MEMBER = "json", "wav"


class ShardFile(Protocol):
    """A file that is being written. suffix: the end of its name."""

    suffix: str

    def __init__(self, path: Path, schema: pa.Schema, contents: tuple[str, ...]) -> None:
        """Open a new file. schema: of the rows of the clips. contents: what of a clip is packed."""

    def add(self, sample: Sample) -> list[str]:
        """Write a clip. Return the names of its members."""

    def close(self) -> None:
        """Write what is left and the end of the file."""


# --- WebDataset -----------------------------------------------------------------------------------------


class TarShard:
    """A tar file in which the members of a clip share their name up to the first dot.

    `<key>.json` is the row of the clip, `.wav` its sound, `.00.png`, `.01.png`, ... its frames, `.mp4` (or
    the suffix of the source's file) its media, `.media_sound.wav` (or another suffix) the sound of the
    media if it is another file. The key is the clip id, in which %2E stands for a dot.
    """

    suffix = ".tar"

    def __init__(self, path: Path, schema: pa.Schema, contents: tuple[str, ...]) -> None:
        self.file = open(path, "wb")  # noqa: SIM115
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115

    def add(self, sample: Sample) -> list[str]:
        """Write a clip. Return the names of its members."""
        key = sample.row["clip_id"].replace(".", "%2E")
        names = []
        for name, content in _members(sample):
            member = tarfile.TarInfo(f"{key}.{name}")  # no time, no owner: the same clips give the same bytes
            member.size = len(content)
            self.tar.addfile(member, io.BytesIO(content))
            names.append(name)
        return names

    def close(self) -> None:
        """Write the end of the tar."""
        self.tar.close()
        self.file.close()


def _members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files of a clip."""
    row = json.dumps(_finite(sample.row), ensure_ascii=False, allow_nan=False, default=str)
    yield JSON_MEMBER, row.encode("utf-8", "replace")
    if sample.sound is not None:
        yield SOUND_MEMBER, sample.sound
    for number, frame in enumerate(sample.frames):
        yield f"{number:02d}.png", frame
    if sample.media:
        extension = _extension(sample.media)
        # A sound must not replace the clip's sound, nor anything its facts.
        is_taken = extension in (JSON_MEMBER, SOUND_MEMBER)
        yield f"media.{extension}" if is_taken else extension, sample.media.content
    if sample.media_sound:
        yield f"media_sound.{_extension(sample.media_sound)}", sample.media_sound.content


def _extension(file: File) -> str:
    """Return the extension of a media file, for the name of a member: `bin` if it is a strange one."""
    extension = file.suffix.removeprefix(".")
    return extension if re.fullmatch(r"[a-z0-9]{1,5}", extension) else "bin"


def _finite(value: Any) -> Any:
    """Return a value of a row with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- Parquet --------------------------------------------------------------------------------------------


class ParquetShard:
    """A Parquet file with a row for each clip: the columns of its row, then one for each content."""

    suffix = ".parquet"

    def __init__(self, path: Path, schema: pa.Schema, contents: tuple[str, ...]) -> None:
        self.contents = contents
        types = {"sound": ENCODED_FILE, "frames": pa.list_(ENCODED_FILE)}
        types |= {"media": ENCODED_FILE, "media_sound": ENCODED_FILE}
        fields = [pa.field(name, types[name]) for name in content_columns(contents)]
        info = {"info": {"features": parquet_features(schema, contents)}}
        self.schema = pa.schema([*schema, *fields], metadata={"huggingface": json.dumps(info)})
        # Media are compressed already. Rows without media are text.
        compression = "none" if contents else "zstd"
        self.writer = pq.ParquetWriter(
            path, self.schema, compression=compression, use_dictionary=not contents
        )
        self.rows: list[dict] = []
        self.n_bytes = 0

    def add(self, sample: Sample) -> list[str]:
        """Write a clip. Return the names of its columns with media."""
        clip_id = sample.row["clip_id"]
        files: dict[str, Any] = {
            "sound": sample.sound and {"bytes": sample.sound, "path": f"{clip_id}.wav"},
            "frames": [
                {"bytes": frame, "path": f"{clip_id}.{number:02d}.png"}
                for number, frame in enumerate(sample.frames)
            ]
            or None,
            "media": sample.media and {"bytes": sample.media.content, "path": clip_id + sample.media.suffix},
            "media_sound": sample.media_sound
            and {"bytes": sample.media_sound.content, "path": clip_id + sample.media_sound.suffix},
        }
        columns = content_columns(self.contents)
        self.rows.append(sample.row | {column: files[column] for column in columns})
        self.n_bytes += sample.n_bytes
        if len(self.rows) >= ROW_GROUP_ROWS or self.n_bytes >= ROW_GROUP_BYTES:
            self._write_row_group()
        return [column for column in columns if files[column]]

    def close(self) -> None:
        """Write the last rows and the end of the file."""
        if self.rows:
            self._write_row_group()
        self.writer.close()

    def _write_row_group(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows, self.n_bytes = [], 0


FORMATS: dict[str, type[TarShard] | type[ParquetShard]] = {"parquet": ParquetShard, "webdataset": TarShard}


def content_columns(contents: tuple[str, ...]) -> list[str]:
    """Return the columns of a Parquet file for these contents."""
    return [*contents, *(["media_sound"] if "media" in contents else [])]


def parquet_features(schema: pa.Schema, contents: tuple[str, ...]) -> dict[str, Feature]:
    """Return the features of a Parquet file, by column. schema: of the rows of the clips."""
    types = {"sound": features.AUDIO, "frames": features.list_of(features.IMAGE)}
    types |= {"media": features.VIDEO, "media_sound": features.AUDIO}
    rows = {field.name: features.from_arrow(field.type) for field in schema}
    return rows | {column: types[column] for column in content_columns(contents)}


def tar_features(schema: pa.Schema, members: list[str]) -> dict[str, Feature]:
    """Return the features of a tar as `datasets` reads it. members: the names of all members."""
    result: dict[str, Feature] = {
        JSON_MEMBER: {field.name: features.from_arrow(field.type) for field in schema}
    }
    for name in sorted(set(members) - {JSON_MEMBER}):
        if name == SOUND_MEMBER or name.startswith("media_sound."):
            result[name] = features.AUDIO
        else:
            is_picture = name.rpartition(".")[2] in PICTURE
            result[name] = features.IMAGE if is_picture else features.VIDEO
    text: Feature = {"dtype": "string", "_type": "Value"}
    return result | {"__key__": text, "__url__": text}
