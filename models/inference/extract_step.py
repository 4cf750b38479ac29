"""Vectors of any media by a trained model: the step of `python -m app.features`, and its shards.

One step takes a clip from its file to its vectors: decoded, cut into windows as the stages cut them, and
embedded. Nothing lies on disk in between. Only workers import torch, which takes seconds.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.inference import query as given
from models.inference.query import Query, Steps
from pipeline.errors import UserError
from pipeline.media.files import Media, MediaError, open_media
from pipeline.sources import folder
from pipeline.store.formats import digest, read_table
from pipeline.store.status import OK, Outcome, failed

# Windows embedded at a time: always so many, the last one repeated to fill up. So a vector is the same to
# its last bit whatever is embedded beside it. 64 are no faster, and a clip made alone would pay for 64.
BATCH = 16
KINDS = {"audio": "sound", "video": "picture"}
ABOUT = ("clip_id", "path", "start")  # columns beside the vectors
INPUTS = {"audio": ("audio",), "video": ("video",), "both": ("audio", "video")}  # what a vector is made of
ENDS = ("too_short", "no_audio", "no_video")  # how a file says that there is no more


# --- the step -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeaturesStep:
    """(clips, nothing) -> vectors, a value of `Vectors`, of each clip.

    A clip: clip_id, path (in the folder `root`), start, end (s, or None), audio, video (whether to look for
    a sound, a picture in the file). model: the folder of a model whose weights have this `identity`. side:
    audio, video, or both. every: s from one window to the next; None: the middle window alone.

    extra["windows"]: how many. A clip of which one side is missing is ok, and its detail says why.
    Raises UserError where the model is none, is another one, or does not know that side.
    """

    root: str
    model: str
    identity: str
    side: str
    every: float | None

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        tools = tools_of(self.model, self.identity, self.side)
        found = [self._found(clip, tools) for clip in clips]
        for batch in tools.batches.values():
            batch.flush()
        for clip, windows in zip(clips, found, strict=True):
            yield windows.outcome(clip["path"], tools)

    def _found(self, clip: dict, tools: "Tools") -> "Windows":
        """The windows of one clip: each is embedded once enough of them wait."""
        found = Windows({column: [] for column in tools.batches})

        def read(_: dict, clip: dict, offset: float) -> Part:
            part = self._part(clip, offset, tools)
            found.note(part, tools, begins=not offset)
            if not part.here:
                raise NothingThere(f"{clip['path']}: neither sound nor picture")
            return part

        begin, end = clip["start"] or 0.0, clip["end"]
        try:
            if self.every is None:
                found.add(read({}, clip, 0.0), begin, None, tools)
            else:
                longest = np.inf if end is None else end - begin
                for offset, part in given.parts(read, tools.config, clip, self.every, longest):
                    found.add(part, begin + offset, self.every, tools, first=not offset)
        except NothingThere:
            pass  # noted
        return found

    def _part(self, clip: dict, offset: float, tools: "Tools") -> "Part":
        """The sound and the pictures from `offset` (s) after the clip's start on."""
        path, steps = folder.join(self.root, clip["path"]), tools.steps
        span = {"start": (clip["start"] or 0.0) + offset, "end": clip["end"]}
        media = Media(*(path if clip[side] and side in tools.asked else None for side in KINDS))
        [wav] = steps.wav([span], [media])
        [heard] = steps.hear([span], [wav.value]) if wav.value else [wav]
        [seen] = steps.see([span], [media])
        still = seen.value is not None and not wav.value and _still(path)
        return Part({"audio": heard, "video": seen}, still)


class NothingThere(UserError):
    """A part of a file without sound and without picture: its end, or no media at all."""


@dataclass
class Part:
    """What models.inference.query.parts looks at. made: what became of "audio" and "video"."""

    made: dict[str, Outcome]
    still: bool

    @property
    def here(self) -> dict[str, Outcome]:
        return {side: outcome for side, outcome in self.made.items() if outcome.value is not None}

    @property
    def seconds(self) -> float:
        """How long the longer of the two is: the other may end before it."""
        return max(outcome.extra["seconds"] for outcome in self.here.values())

    def query(self, sides: Iterable[str], steps: Steps) -> Query:
        """These sides, as far as they are there."""
        here = {side: outcome for side, outcome in self.here.items() if side in sides}
        nothing = Outcome("no_video")
        return steps.query("", here.get("audio", nothing), here.get("video", nothing), None)


def _still(path: str) -> bool:
    """Whether a file is one picture and nothing else."""
    try:
        with open_media(path) as container:
            return container.format.name.endswith("_pipe")
    except MediaError:
        return False


@dataclass
class Windows:
    """What is known of one clip. vectors: column -> (dim,) for each window, None where it has none or while
    it waits. starts: s in the file. missing: side -> the first outcome without it."""

    vectors: dict[str, list[np.ndarray | None]]
    starts: list[float] = field(default_factory=list)
    missing: dict[str, Outcome] = field(default_factory=dict)

    def note(self, part: Part, tools: "Tools", begins: bool) -> None:
        """Keep why a side is missing, but where the file just ends."""
        for side in tools.asked:
            outcome = part.made[side]
            if side not in part.here and (begins or part.here or outcome.status not in ENDS):
                self.missing.setdefault(side, outcome)

    def add(self, part: Part, at: float, every: float | None, tools: "Tools", first: bool = True) -> None:
        """Have the windows of a part, which begins at `at` (s), embedded.

        Along time each side goes as far as it lasts. The middle one is of what both sides share, as the stage
        `index` has it.
        """
        known = len(self.starts)
        begun: list = []
        for column, batch in tools.batches.items():
            inputs = INPUTS[column]
            if not part.here.keys() >= set(inputs):
                continue
            query = part.query(KINDS if every is None else inputs, tools.steps)
            if every is None or part.still:
                places, starts = query.places(), [0.0 if part.still else query.middle_start]
            else:
                seconds = min(part.here[side].extra["seconds"] for side in inputs)
                starts = given.starts(tools.config, seconds, every, first)
                places = query.places(starts)
            begun = max(begun, starts, key=len)
            to = self.vectors[column]
            to += [None] * (known + len(starts) - len(to))
            for i in range(0, len(starts), BATCH):
                some = places[i : i + BATCH]
                read = dict(zip(KINDS, query.data.read(np.zeros(len(some), int), some), strict=True))
                for j in range(len(some)):
                    batch.add(tuple(read[side][j] for side in inputs), to, known + i + j)
        self.starts += [at + start for start in begun]

    def outcome(self, path: str, tools: "Tools") -> Outcome:
        """Once all is embedded."""
        said = {side: f"no {KINDS[side]}: {outcome.detail}" for side, outcome in self.missing.items()}
        detail = "; ".join(dict.fromkeys(said.values()))
        if not self.starts:
            worst = sorted(self.missing.values(), key=lambda outcome: outcome.status in ENDS)[0]
            return failed(worst.status, detail)
        value: dict[str, Any] = {"path": path, "start": np.array(self.starts)}
        for column, batch in tools.batches.items():
            value[column] = np.full((len(self.starts), batch.dim), np.nan, np.float32)
            for row, vector in enumerate(self.vectors[column]):
                if vector is not None:
                    value[column][row] = vector
        return Outcome(OK, detail, value, {"windows": len(self.starts)})


class Batch:
    """Windows of any clips, embedded `BATCH` at a time by one side of a model. dim: numbers of a vector."""

    def __init__(self, model: Any, column: str) -> None:
        module = model.module
        self.ask = {
            "audio": module.embed_audio,
            "video": module.embed_video,
            "both": lambda audio, video: module.embed_pair(audio, video)[0],
        }[column]
        self.waiting: list[tuple[tuple[np.ndarray, ...], list, int]] = []
        shapes = {"audio": model.config["audio_shape"], "video": model.config["video_shape"]}
        kinds = {"audio": np.float16, "video": np.uint8}
        blank = [np.zeros((1, *shapes[side]), kinds[side]) for side in INPUTS[column]]
        self.dim = self._embedded(blank).shape[1]

    def add(self, window: tuple[np.ndarray, ...], to: list, row: int) -> None:
        """Have to[row] become the vector of `window`, sooner or later."""
        self.waiting.append((window, to, row))
        if len(self.waiting) == BATCH:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            windows = [window for window, _, _ in self.waiting]
            windows += windows[-1:] * (BATCH - len(windows))
            vectors = self._embedded([np.stack(x) for x in zip(*windows, strict=True)])
            for (_, to, row), vector in zip(self.waiting, vectors, strict=False):
                to[row] = vector
            self.waiting.clear()

    def _embedded(self, inputs: list[np.ndarray]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.ask(*map(torch.as_tensor, inputs)).float().numpy()


@dataclass(frozen=True)
class Tools:
    """What a process needs for a model. batches: column -> what embeds it. asked: the sides to decode."""

    config: dict[str, Any]
    steps: Steps
    batches: dict[str, Batch]
    asked: tuple[str, ...]


@functools.cache
def tools_of(folder: str, identity: str, side: str) -> Tools:
    """Once in each process, which has one thread: the engine has a process for each core."""
    import torch

    from models import checkpoint

    torch.set_num_threads(1)
    model = checkpoint.load(folder)
    if checkpoint.identity(folder) != identity:
        raise UserError(f"{folder}: the model has changed meanwhile: run again")
    columns = [column for column in model.module.embedding_names if side in (column, "both")]
    if not columns:
        known = model.module.embedding_names[0]
        why = "reads sound and picture as one" if known == "both" else f"knows no {KINDS[side]}s"
        raise UserError(f"--side {side}: the model in {folder} {why}: use --side {known}")
    asked = tuple(dict.fromkeys(side for column in columns for side in INPUTS[column]))
    return Tools(
        model.config, Steps(model.config), {column: Batch(model, column) for column in columns}, asked
    )


# --- the store ------------------------------------------------------------------------------------------


class Vectors:
    """Shards of Parquet, a row for each window: clip_id, path, start (s), and the model's columns as
    fixed_size_list<float32>[dim], null where missing.

    A value: {"path", "start": (n,), column: (n, dim) float32, NaN where missing}.
    """

    suffix = ".parquet"

    def write(self, path: Path, clip_ids: list[str], values: list[dict[str, Any]]) -> None:
        blank = pa.schema(zip(ABOUT, (pa.string(), pa.string(), pa.float64()), strict=True)).empty_table()
        tables = [self._rows(clip_id, value) for clip_id, value in zip(clip_ids, values, strict=True)]
        table = pa.concat_tables(tables or [blank])
        with writer(path, table.schema) as file:
            file.write_table(table)

    @staticmethod
    def _rows(clip_id: str, value: dict[str, Any]) -> pa.Table:
        names = [pa.array([name] * len(value["start"]), pa.string()) for name in (clip_id, value["path"])]
        columns = dict(zip(ABOUT, [*names, pa.array(value["start"])], strict=True))
        return pa.table(columns | {name: _column(value[name]) for name in value if name in INPUTS})

    def read(self, path: Path) -> list[dict[str, Any]]:
        table = read_table(path)
        ids = np.array(table["clip_id"].to_pylist())
        edges: Any = np.flatnonzero(ids[1:] != ids[:-1]) + 1 if len(ids) else []
        arrays = {name: array_of(table[name]) for name in table.column_names if name in INPUTS}
        arrays["start"] = table["start"].to_numpy()
        parts = {name: np.split(array, edges) for name, array in arrays.items()}
        first = [0, *edges] if len(ids) else []
        return [
            {"path": table["path"][int(row)].as_py()} | {name: part[i] for name, part in parts.items()}
            for i, row in enumerate(first)
        ]

    @staticmethod
    def digest(value: dict[str, Any]) -> str:
        return digest(*(value[name] for name in sorted(value)))


def _column(vectors: np.ndarray) -> pa.FixedSizeListArray:
    missing = pa.array(np.isnan(vectors[:, 0]))
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=missing)


def array_of(column: pa.ChunkedArray) -> np.ndarray:
    """A column of vectors as (n, dim) float32, NaN where null."""
    found = np.full((len(column), column.type.list_size), np.nan, np.float32)
    there = column.is_valid().to_numpy()
    found[there] = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, found.shape[1])
    return found


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file for rows of windows."""
    # Vectors do not repeat, names do.
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=["clip_id", "path"])
