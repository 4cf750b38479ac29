"""A project with what the stages wrote for 14 clips, in three shards of each stage."""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.download import step as download
from pipeline.media import wav
from pipeline.media.frames import TIMES_COLUMN
from pipeline.pack import data_set
from pipeline.pack.selection import select
from pipeline.pack.writer import Settings
from pipeline.report.data_sources import describe_source
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.formats import Arrays, Layout
from pipeline.store.metric_files import write_json
from pipeline.store.shards import Shards
from pipeline.store.status import Outcome, failed
from testing.recordings import record

N, SHARD = 14, 5
HOSTILE = "</td>|*b*`\n# <script>"
DOTTED, NO_SPLIT, NO_SOUND, NO_FRAMES, NOTHING = 1, 3, 5, 6, 8  # numbers of special clips
IN_PLACE, PAIRED = 10, 11
ALL = ("sound", "frames", "media")
FRAMES = Layout(Path("data/frames"), Arrays((2, 8, 10, 3), "uint8"), (TIMES_COLUMN,))


class PackProject(NamedTuple):
    """root: of the project. sounds, frames, media: the values by the number of the clip."""

    root: Path
    sounds: dict[int, bytes]
    frames: dict[int, np.ndarray]
    media: dict[int, bytes]


def clip_id(number: int) -> str:
    return "a.b-c.d" if number == DOTTED else f"c{number:02d}"


def split(number: int) -> str | None:
    return None if number == NO_SPLIT else ("train", "train", "val", "test")[number % 4]


def make_pack_project(root: Path) -> PackProject:
    """Write the project into a new folder."""
    (root / "data").mkdir(parents=True)
    with contextlib.chdir(root):
        return _write_project(root)


def _write_project(root: Path) -> PackProject:
    random = np.random.default_rng(0)
    frames = {i: random.integers(0, 256, (2, 8, 10, 3), np.uint8) for i in range(N)}
    sounds = {i: wav.write_wav(random.integers(-9, 9, 40 + i, np.int16), 8000) for i in range(N)}
    media = {i: b"FLV%d" % i * 20 for i in range(N)}
    record(root / "my clip.MP4", 3, codec="mpeg4", format="mp4")
    media[IN_PLACE] = (root / "my clip.MP4").read_bytes()
    rows = [{"clip_id": clip_id(i), "audio": f"{i}", "video": f"{i}"} for i in range(N)]
    for i, row in enumerate(rows):
        row |= {"labels": ["Flute", HOSTILE][: i % 3], "start": float(i), "box": [0.5, 0.25]}
        row |= {"subject": "Ann" if i % 2 else None}
    extra = pa.schema([pa.field("box", pa.list_(pa.float64()))])
    write_table(clip_table.from_rows(rows, extra), Path("data/clips.parquet"))
    splits = {
        "clip_id": [clip_id(i) for i in range(N)],
        "split": pa.array([split(i) for i in range(N)], pa.string()),
        "status": ["ok" if split(i) else "too_short" for i in range(N)],
        "detail": ["" if split(i) else "0.5 s of sound" for i in range(N)],
    }
    write_table(pa.table(splits), Path("data/splits.parquet"))
    quality = {
        "clip_id": [clip_id(i) for i in range(N)],
        "silence": pa.array([None, float("nan"), *[i / N for i in range(2, N)]], pa.float64()),
        "cuts": pa.array([None if i == 2 else i for i in range(N)], pa.int32()),
        "flags": pa.array([["still", "silent"][: i % 3] for i in range(N)], pa.list_(pa.string())),
    }
    write_table(pa.table(quality), Path("data/quality.parquet"))
    write_json({"source": "folder", "folder": "videos"}, "data/source.json")

    _write_stage(
        wav.LAYOUT,
        rows,
        [
            failed("no_audio", f"{i}.mp4: no sound track")
            if i in (NO_SOUND, NOTHING)
            else Outcome(value=sounds[i], extra={"seconds": 1.0})
            for i in range(N)
        ],
    )
    _write_stage(
        FRAMES,
        rows,
        [
            failed("corrupt", f"{i}.mp4: {HOSTILE}")
            if i in (NO_FRAMES, NOTHING)
            else Outcome(value=frames[i], extra={"times": [0.25, 0.75]})
            for i in range(N)
        ],
    )
    _write_stage(download.LAYOUT, rows, [_media_outcome(i, media[i]) for i in range(N)])
    return PackProject(root, sounds, frames, media)


def _media_outcome(number: int, content: bytes) -> Outcome:
    if number == IN_PLACE:
        file = {"bytes": None, "path": "my clip.MP4"}
        return Outcome(value={"audio": file, "video": file}, extra={"size": len(content), "modified": 1})
    if number == PAIRED:
        sound = {"bytes": b"sound of another file", "path": "s.ogg"}
        return Outcome(value={"audio": sound, "video": {"bytes": content, "path": "p.webm"}})
    return download.single_file_outcome(f"{number}.flv", content)


def _write_stage(layout: Layout, clips: list[dict], outcomes: list[Outcome]) -> None:
    shards = Shards.from_layout(layout)
    shards.folder.mkdir()
    for shard, first in enumerate(range(0, N, SHARD)):
        part = slice(first, first + SHARD)
        keys = [f"key {clip['clip_id']}" for clip in clips[part]]
        shards.write_shard_index(shard, shards.write_values(shard, clips[part], keys, outcomes[part]))
    shards.merge_indexes(len(range(0, N, SHARD)))


def pack(out: Path, settings: Settings, source: str = "folder") -> data_set.DataSet:
    """Pack the clips of the project in the current folder."""
    selection = select(settings.contents, settings.splits)
    return data_set.write_data_set(out, selection, settings, describe_source(source), "my set")


def files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too: relative path -> content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
