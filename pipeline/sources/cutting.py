"""Cut clips out of long files: consecutive ones, or some at random places.

All clips of a file keep its `video_id`, so that they are in one split. A row of the clip table that has times
is a clip already.
"""

import hashlib
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.engine import runner
from pipeline.media.durations import LAYOUT, durations_step
from pipeline.sources.folder.in_place import check_file
from pipeline.store import clip_table
from pipeline.store.code_identity import code_digest

if TYPE_CHECKING:  # at run time, the reader of params.yaml must be no part of the code identity
    from pipeline.config import DataParams

FILES_PER_SHARD = 256
# Of clip_seconds: a file with a shorter rest has no clip there. Headers round durations.
MIN_REST = 0.9


def cut_files(table: pa.Table, data: "DataParams", engine: Any) -> tuple[pa.Table, str]:
    """Return the table with the clips of each file, and a line that says how much of the files they take.

    A row of a file that is a still picture, or whose duration cannot be read, stays as it is. table: of a
    source that has `LONG_FILES`. engine: the section of params.yaml, for the processes that read durations.
    """
    rows = table.to_pylist()
    whole = [row for row in rows if _is_whole(row)]
    if data.cut == "first":
        return table, f"{len(whole)} files: the first {data.clip_seconds:g} s of each (data.cut: first)"
    seconds_by_path = read_durations(sorted({path for row in whole for path in _paths(row)}), engine)
    clips: list[dict] = []
    seconds_of_files = seconds_of_clips = 0.0
    n_cut = 0
    for row in rows:
        seconds = min((s for path in _paths(row) if (s := seconds_by_path.get(path))), default=None)
        if seconds is None or not _is_whole(row):
            clips.append(row)
            continue
        starts = choose_starts(seconds, data, row["clip_id"])
        clips += [_make_part(row, start, data.clip_seconds) for start in starts] or [row]
        n_cut += 1
        seconds_of_files += seconds
        seconds_of_clips += min(seconds, max(len(starts), 1) * data.clip_seconds)
    line = (
        f"{n_cut} files: {_format_part(seconds_of_clips, seconds_of_files)} are in clips (data.cut:"
        f" {data.cut}, at most {data.per_file} clips of a file)"
    )
    if n_cut < len(whole):
        others = f"{len(whole) - n_cut} still pictures, or files that cannot be read, are one clip each"
        line = f"{line}; {others}" if n_cut else others
    extra = pa.schema(list(table.schema)[len(clip_table.SCHEMA) :])
    return clip_table.from_rows(clips, extra), line


def read_durations(paths: list[str], engine: Any) -> dict[str, float | None]:
    """Return the duration of each file, s; None for a still picture or a file that cannot be read.

    They stay in data/durations: only new and changed files are read again, in processes of this machine.
    engine: the section of params.yaml.
    """
    files = [{"clip_id": path, "audio": path, "video": path} for path in paths]
    stamps = [check_file(path) for path in paths]
    job = runner.Job("durations", durations_step, LAYOUT, code_digest(durations_step), file_stamps=stamps)
    local_engine = engine.model_copy(update={"name": "local", "storage": None})
    index = runner.run(job, files, FILES_PER_SHARD, local_engine)
    return dict(zip(paths, index["seconds"].to_pylist(), strict=True))


def choose_starts(seconds: float, data: "DataParams", name: str) -> list[float]:
    """Return where the clips of a file begin, s, in order; empty if the file is one clip.

    They do not overlap: with `cut: all` they are consecutive, and if there are more than `per_file`, that
    many of them are chosen, evenly spread. With `cut: sample` they are chosen at random, and so is where the
    first one begins. seconds: duration of the file. name: makes the choice for each file another one.
    """
    n_parts = max(1, int(min(seconds / data.clip_seconds + 1 - MIN_REST, 2**53)))
    n_clips = min(n_parts, data.per_file)
    rest = max(0.0, seconds - n_parts * data.clip_seconds)
    if data.cut == "sample":
        generator = random.Random(f"{data.seed}/{name}")
        parts, offset = sorted(generator.sample(range(n_parts), n_clips)), generator.uniform(0, rest)
    else:
        parts, offset = [(2 * i + 1) * n_parts // (2 * n_clips) for i in range(n_clips)], 0.0
    starts = [round(offset + part * data.clip_seconds, 3) for part in parts]
    return starts if n_parts > 1 or starts[0] else []


def _is_whole(row: dict) -> bool:
    """Return whether a row of the clip table stands for a whole file: it has no times."""
    return all(row.get(name) is None for name in ("start", "end", *clip_table.SIDE_TIMES))


def _paths(row: dict) -> set[str]:
    """Return the paths of the sound and of the picture of a row, which are often one file."""
    return {row[side] for side in ("audio", "video") if row[side]}


def _make_part(row: dict, start: float, clip_seconds: float) -> dict:
    """Return the row of the clip that begins at `start` (s) in the file of `row`.

    Its id is that of the file, the times, and twelve digits of a hash of them, so that no file has this id.
    """
    end = round(start + clip_seconds, 3)
    digest = hashlib.sha256(f"{row['clip_id']}\0{start!r}\0{end!r}".encode()).hexdigest()[:12]
    times = f"{start:g}-{end:g}".replace("+", "")  # :g writes 1e+06 for large numbers
    return row | {"clip_id": f"{row['clip_id'][:150]}_{times}-{digest}", "start": start, "end": end}


def _format_part(part: float, total: float) -> str:
    """Return "1.5 of 2.0 hours". part, total: s. Below one hour, the unit is minutes."""
    unit, name = (3600, "hours") if total >= 3600 else (60, "minutes")
    return f"{part / unit:,.1f} of {total / unit:,.1f} {name}"
