"""Embedding extraction: the step of `python -m app.features`.

One step takes a clip from its file to its vectors: it decodes the file, cuts windows as the stages do, and
embeds them. It writes no intermediate files. Only workers import torch, which takes seconds.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.inference import decode
from models.inference.decode import DecodedFile, Steps
from models.inference.vectors import COLUMN_SIDES
from models.weights import weights_digest
from pipeline.errors import UserError
from pipeline.media.files import Media, MediaError, open_media
from pipeline.sources import folder
from pipeline.store.status import OK, Outcome, failed

# Windows per batch. A batch is always full: the last window is repeated. So the vector of a window does not
# depend on the others in the batch, to the last bit. 64 are no faster, and cost more for a single clip.
BATCH = 16
KINDS = {"audio": "sound", "video": "picture"}
END_STATUSES = ("too_short", "no_audio", "no_video")  # of a part that begins after the end of the file


@dataclass(frozen=True)
class FeaturesStep:
    """Map clips to their vectors: a value of models.inference.vectors.Vectors for each. It reads no values.

    A clip: clip_id, path (in the folder `root`), start, end (s, or None), audio, video (whether to read the
    sound, the picture of the file). model: the folder of a model whose weights have this `identity`. side:
    audio, video, or both. every: s from one window to the next; None: the middle window alone.

    extra["windows"]: the number of windows. A clip without one of the sides is ok; its detail says why.
    Raises UserError if the model cannot be loaded, has other weights, or does not read that side.
    """

    root: str
    model: str
    identity: str
    side: str
    every: float | None

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        tools = load_tools(self.model, self.identity, self.side)
        clip_windows = [self._read_windows(clip, tools) for clip in clips]
        for batch in tools.batches.values():
            batch.flush()
        for clip, windows in zip(clips, clip_windows, strict=True):
            yield windows.outcome(clip["path"], tools)

    def _read_windows(self, clip: dict, tools: "Tools") -> "Windows":
        """Read the windows of one clip and queue them. They are embedded when a batch is full."""
        windows = Windows({column: [] for column in tools.batches})

        def read(_: dict, clip: dict, offset: float) -> Part:
            part = self._read_part(clip, offset, tools)
            windows.note_missing(part, tools, is_first=not offset)
            if not part.usable:
                raise EmptyPart(f"{clip['path']}: neither sound nor picture")
            return part

        begin, end = clip["start"] or 0.0, clip["end"]
        try:
            if self.every is None:
                windows.add(read({}, clip, 0.0), begin, None, tools)
            else:
                longest = np.inf if end is None else end - begin
                for offset, part in decode.read_parts(read, tools.config, clip, self.every, longest):
                    windows.add(part, begin + offset, self.every, tools, is_first=not offset)
        except EmptyPart:
            pass  # `windows.missing` has the reason
        return windows

    def _read_part(self, clip: dict, offset: float, tools: "Tools") -> "Part":
        """Decode sound and pictures from `offset` (s) after the clip's start."""
        path, steps = folder.join(self.root, clip["path"]), tools.steps
        span = {"start": (clip["start"] or 0.0) + offset, "end": clip["end"]}
        media = Media(*(path if clip[side] and side in tools.sides else None for side in KINDS))
        [wav] = steps.wav([span], [media])
        [sound] = steps.spectrogram([span], [wav.value]) if wav.value else [wav]
        [picture] = steps.frames([span], [media])
        is_still = picture.value is not None and not wav.value and _is_still(path)
        return Part({"audio": sound, "video": picture}, is_still)


class EmptyPart(UserError):
    """A part of a file without sound and without picture: after the end of the file, or no media at all."""


@dataclass
class Part:
    """Sound and pictures of a part of a file, as models.inference.decode.read_parts expects it.

    outcomes: of "audio" and "video". still: whether the file is a single picture.
    """

    outcomes: dict[str, Outcome]
    still: bool

    @property
    def usable(self) -> dict[str, Outcome]:
        """The sides that could be decoded."""
        return {side: outcome for side, outcome in self.outcomes.items() if outcome.value is not None}

    @property
    def seconds(self) -> float:
        """The duration of the longer side: the other may end before it."""
        return max(outcome.extra["seconds"] for outcome in self.usable.values())

    def to_decoded(self, sides: Iterable[str], steps: Steps) -> DecodedFile:
        """Return the file with those of these sides that are usable."""
        usable = {side: outcome for side, outcome in self.usable.items() if side in sides}
        nothing = Outcome("no_video")
        return steps.to_decoded("", usable.get("audio", nothing), usable.get("video", nothing), None)


def _is_still(path: str) -> bool:
    """Return whether a file is a single picture."""
    try:
        with open_media(path) as container:
            return container.format.name.endswith("_pipe")
    except MediaError:
        return False


@dataclass
class Windows:
    """The windows of one clip.

    vectors: column -> (dim,) for each window, None if it has none or is not embedded yet. starts: s in the
    file. missing: side -> the first outcome without it.
    """

    vectors: dict[str, list[np.ndarray | None]]
    starts: list[float] = field(default_factory=list)
    missing: dict[str, Outcome] = field(default_factory=dict)

    def note_missing(self, part: Part, tools: "Tools", is_first: bool) -> None:
        """Store why a side is missing, unless the part begins after the end of the file."""
        for side in tools.sides:
            outcome = part.outcomes[side]
            is_reason = is_first or part.usable or outcome.status not in END_STATUSES
            if side not in part.usable and is_reason:
                self.missing.setdefault(side, outcome)

    def add(self, part: Part, at: float, every: float | None, tools: "Tools", is_first: bool = True) -> None:
        """Queue the windows of a part, which begins at `at` (s) in the file.

        With `every`, each side has windows up to its end. The middle window (`every` is None) lies where both
        sides have data, as in the stage `index`.
        """
        first_row = len(self.starts)
        part_starts: list = []
        for column, batch in tools.batches.items():
            inputs = COLUMN_SIDES[column]
            if not part.usable.keys() >= set(inputs):
                continue
            decoded = part.to_decoded(KINDS if every is None else inputs, tools.steps)
            if every is None or part.still:
                positions, starts = decoded.positions(), [0.0 if part.still else decoded.middle_start]
            else:
                seconds = min(part.usable[side].extra["seconds"] for side in inputs)
                starts = decode.window_starts(tools.config, seconds, every, is_first)
                positions = decoded.positions(starts)
            part_starts = max(part_starts, starts, key=len)
            vectors = self.vectors[column]
            vectors += [None] * (first_row + len(starts) - len(vectors))
            for i in range(0, len(starts), BATCH):
                chunk = positions[i : i + BATCH]
                arrays = dict(zip(KINDS, decoded.data.read(np.zeros(len(chunk), int), chunk), strict=True))
                for j in range(len(chunk)):
                    batch.add(tuple(arrays[side][j] for side in inputs), vectors, first_row + i + j)
        self.starts += [at + start for start in part_starts]

    def outcome(self, path: str, tools: "Tools") -> Outcome:
        """Return the clip's outcome. All its windows must be embedded before."""
        reasons = {side: f"no {KINDS[side]}: {outcome.detail}" for side, outcome in self.missing.items()}
        detail = "; ".join(dict.fromkeys(reasons.values()))
        if not self.starts:
            worst = sorted(self.missing.values(), key=lambda outcome: outcome.status in END_STATUSES)[0]
            return failed(worst.status, detail)
        value: dict[str, Any] = {"path": path, "start": np.array(self.starts)}
        for column, batch in tools.batches.items():
            value[column] = np.full((len(self.starts), batch.dim), np.nan, np.float32)
            for row, vector in enumerate(self.vectors[column]):
                if vector is not None:
                    value[column][row] = vector
        return Outcome(OK, detail, value, {"windows": len(self.starts)})


class Batch:
    """A queue of windows of any clips, embedded `BATCH` at a time into one column. dim: of a vector."""

    def __init__(self, model: Any, column: str) -> None:
        module = model.module
        self.embed = {
            "audio": module.embed_audio,
            "video": module.embed_video,
            "both": lambda audio, video: module.embed_pair(audio, video)[0],
        }[column]
        self.queue: list[tuple[tuple[np.ndarray, ...], list, int]] = []
        shapes = {"audio": model.config["audio_shape"], "video": model.config["video_shape"]}
        dtypes = {"audio": np.float16, "video": np.uint8}
        blank = [np.zeros((1, *shapes[side]), dtypes[side]) for side in COLUMN_SIDES[column]]
        self.dim = self._embed_arrays(blank).shape[1]

    def add(self, window: tuple[np.ndarray, ...], vectors: list, row: int) -> None:
        """Queue a window; its vector is stored in vectors[row] when the batch is embedded."""
        self.queue.append((window, vectors, row))
        if len(self.queue) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Embed the windows in the queue."""
        if self.queue:
            windows = [window for window, _, _ in self.queue]
            windows += windows[-1:] * (BATCH - len(windows))
            embeddings = self._embed_arrays([np.stack(x) for x in zip(*windows, strict=True)])
            for (_, vectors, row), embedding in zip(self.queue, embeddings, strict=False):
                vectors[row] = embedding
            self.queue.clear()

    def _embed_arrays(self, inputs: list[np.ndarray]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.embed(*map(torch.as_tensor, inputs)).float().numpy()


@dataclass(frozen=True)
class Tools:
    """A model and its steps, as a process loads them. batches: column -> its queue. sides: what to decode."""

    config: dict[str, Any]
    steps: Steps
    batches: dict[str, Batch]
    sides: tuple[str, ...]


@functools.cache
def load_tools(folder: str, identity: str, side: str) -> Tools:
    """Load the model, once in each process. It uses one thread: the engine starts a process for each core."""
    import torch

    from models import checkpoint

    torch.set_num_threads(1)
    model = checkpoint.load(folder)
    if weights_digest(folder) != identity:
        raise UserError(f"{folder}: the model was replaced during the run: run again")
    columns = [column for column in model.module.embedding_names if side in (column, "both")]
    if not columns:
        column = model.module.embedding_names[0]
        why = "embeds sound and picture as one" if column == "both" else f"does not read {KINDS[side]}s"
        raise UserError(f"--side {side}: the model in {folder} {why}: use --side {column}")
    sides = tuple(dict.fromkeys(side for column in columns for side in COLUMN_SIDES[column]))
    batches = {column: Batch(model, column) for column in columns}
    return Tools(model.config, Steps(model.config), batches, sides)
