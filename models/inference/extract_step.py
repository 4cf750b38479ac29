"""Embedding extraction: the step of `python -m app.features`.

One step takes a clip from its file to its vectors: it decodes the file, cuts windows as the stages do, and
embeds them. It writes no intermediate files. Torch is imported inside functions, because that takes seconds
and only worker processes need it.
"""

import functools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.inference import decode
from models.inference.decode import SIDE_NAMES, DecodedFile, Steps
from models.inference.vectors import COLUMN_SIDES
from models.weights import weights_digest
from pipeline.dataset.features import FeatureUse
from pipeline.errors import UserError
from pipeline.media.files import Media, MediaError, open_media, side_span
from pipeline.sources.folder.paths import join
from pipeline.store.status import OK, Outcome, failed

# Windows per batch. A batch is always full: the last window is repeated. So the vector of a window does not
# depend on the others in the batch, to the last bit. 64 are no faster, and cost more for a single clip.
BATCH = 16
GPU_STATUS = 3  # the exit status of a process that finds a GPU
END_STATUSES = ("too_short", "no_audio", "no_video")  # of a part that begins after the end of the file


@dataclass(frozen=True)
class FeaturesStep:
    """Map clips to the vectors of their windows: for each clip an Outcome with a value of vectors.Vectors.

    A clip is a dictionary: clip_id, path (what the result names), audio, video (the files with its sound and
    its picture in the folder `root`, or None), start, end (seconds, or None) or such times of its sides.

    extra["windows"] of an Outcome is the number of windows. A clip that lacks one of the sides is ok; its
    detail says why it lacks it.
    Raises UserError if the model cannot be loaded, has other weights, or does not read that side.
    """

    root: str
    model: str  # the folder of the model
    identity: str  # digest of the model's weights
    side: str  # what to embed: audio, video, or both
    hop_seconds: float | None  # from one window to the next; None: only the middle window
    device: str | None = None  # where to compute, `cpu` or `cuda`; None: on a GPU, if the process has one

    def __call__(self, clips: list[dict], values: list) -> Iterator[Outcome]:
        """Yield the Outcome of each clip. values: not used; the engine passes them to every step."""
        tools = load_tools(self.model, self.identity, self.side, self.device)
        clip_windows = [self._queue_windows(clip, tools) for clip in clips]
        for batch in tools.batches.values():
            batch.flush()
        for clip, windows in zip(clips, clip_windows, strict=True):
            yield windows.to_outcome(clip["path"], tools)

    def _queue_windows(self, clip: dict, tools: "Tools") -> "Windows":
        """Read the windows of one clip and queue them. They are embedded when a batch is full."""
        windows = Windows({column: [] for column in tools.batches})

        def decode_from(offset: float) -> Part:
            part = self._decode_part(clip, offset, tools)
            windows.record_missing(part, tools, is_first=not offset)
            if not part.usable:
                raise EmptyPart(f"{clip['path']}: neither sound nor picture")
            return part

        clip_start, clip_end = side_span(clip, "audio" if clip["audio"] else "video")
        try:
            if self.hop_seconds is None:
                windows.add(decode_from(0.0), clip_start, None, tools)
            else:
                max_seconds = np.inf if clip_end is None else clip_end - clip_start
                parts = decode.decode_parts(decode_from, tools.config, self.hop_seconds, max_seconds)
                for offset, part in parts:
                    windows.add(part, clip_start + offset, self.hop_seconds, tools, is_first=not offset)
        except EmptyPart:
            pass  # `windows.missing` has the reason
        return windows

    def _decode_part(self, clip: dict, offset: float, tools: "Tools") -> "Part":
        """Decode sound and frames of a clip from `offset` (seconds after the clip's start) on."""
        steps = tools.steps
        span: dict[str, float | None] = {}
        paths: dict[str, str | None] = {}
        for side in SIDE_NAMES:
            start, end = side_span(clip, side)
            span |= {f"{side}_start": start + offset, f"{side}_end": end}
            is_read = clip[side] and side in tools.sides
            paths[side] = join(self.root, clip[side]) if is_read else None
        media = Media(**paths)
        [wav] = steps.wav([span], [media])
        [audio] = steps.spectrogram([span], [wav.value]) if wav.value else [wav]
        [video] = steps.frames([span], [media])
        is_still_image = video.value is not None and not wav.value and _is_image_file(media.video or "")
        return Part({"audio": audio, "video": video}, is_still_image)


class EmptyPart(UserError):
    """A part of a file has neither sound nor picture: it begins after the end, or the file has none."""


@dataclass
class Part:
    """What was decoded of a part of a file. decode.decode_parts reads `is_still_image` and `seconds`."""

    outcomes: dict[str, Outcome]  # of "audio" and "video"
    is_still_image: bool  # whether the file is a single image

    @property
    def usable(self) -> dict[str, Outcome]:
        """The sides that could be decoded: "audio", "video" -> outcome."""
        return {side: outcome for side, outcome in self.outcomes.items() if outcome.value is not None}

    @property
    def seconds(self) -> float:
        """The duration of the longer side: the other one may end earlier."""
        return max(outcome.extra["seconds"] for outcome in self.usable.values())

    def to_decoded(self, sides: Iterable[str], steps: Steps) -> DecodedFile:
        """Return the part as a DecodedFile with those of `sides` that could be decoded."""
        usable = {side: outcome for side, outcome in self.usable.items() if side in sides}
        nothing = Outcome("no_video")  # for a side that is left out
        audio, video = usable.get("audio", nothing), usable.get("video", nothing)
        return steps.combine_outcomes("", audio, video, wav=None)


def _is_image_file(path: str) -> bool:
    """Return whether a file is a single image."""
    try:
        with open_media(path) as container:
            return decode.is_image_format(container)
    except MediaError:
        return False


@dataclass
class Windows:
    """The windows of one clip."""

    # Column -> for each window its vector (dim,), or None if it has none or is not embedded yet.
    vectors: dict[str, list[np.ndarray | None]]
    starts: list[float] = field(default_factory=list)  # of the windows, in seconds from the file's start
    missing: dict[str, Outcome] = field(default_factory=dict)  # side -> the first outcome without it

    def record_missing(self, part: Part, tools: "Tools", is_first: bool) -> None:
        """Record why a side is missing, unless the part begins after the end of the file."""
        for side in tools.sides:
            outcome = part.outcomes[side]
            is_reason = is_first or part.usable or outcome.status not in END_STATUSES
            if side not in part.usable and is_reason:
                self.missing.setdefault(side, outcome)

    def add(
        self, part: Part, part_start: float, hop_seconds: float | None, tools: "Tools", is_first: bool = True
    ) -> None:
        """Queue the windows of a part of the file, to be embedded.

        part_start: in seconds from the file's start. hop_seconds: from one window to the next; None: only the
        middle window. is_first: whether it is the first part of the clip.
        """
        first_row = len(self.starts)
        part_starts: list[float] = []
        for column, batch in tools.batches.items():
            if not part.usable.keys() >= set(COLUMN_SIDES[column]):
                continue
            decoded, starts, positions = _locate_windows(part, column, hop_seconds, tools, is_first)
            # One side may end before the other: there is a row for each window of the longer one.
            part_starts = max(part_starts, starts, key=len)
            vectors = self.vectors[column]
            vectors += [None] * (first_row + len(starts) - len(vectors))
            features = FeatureUse.from_config(tools.config)
            for i in range(0, len(starts), BATCH):  # not all at once: it would need too much memory
                chunk = positions[i : i + BATCH]
                arrays = dict(
                    zip(
                        SIDE_NAMES,
                        decoded.data.read(np.zeros(len(chunk), int), chunk, features=features),
                        strict=True,
                    )
                )
                for j in range(len(chunk)):
                    window = tuple(arrays[side][j] for side in COLUMN_SIDES[column])
                    batch.add(window, vectors, first_row + i + j)
        self.starts += [part_start + start for start in part_starts]

    def to_outcome(self, path: str, tools: "Tools") -> Outcome:
        """Return the outcome of the clip, whose file is `path`. All its windows must be embedded before."""
        reasons = {side: f"no {SIDE_NAMES[side]}: {outcome.detail}" for side, outcome in self.missing.items()}
        detail = "; ".join(dict.fromkeys(reasons.values()))
        if not self.starts:
            # A status that says more than "the file has no such side" comes first.
            worst = sorted(self.missing.values(), key=lambda outcome: outcome.status in END_STATUSES)[0]
            return failed(worst.status, detail)
        value: dict[str, Any] = {"path": path, "start": np.array(self.starts)}
        for column, batch in tools.batches.items():
            value[column] = np.full((len(self.starts), batch.dim), np.nan, np.float32)
            for row, vector in enumerate(self.vectors[column]):
                if vector is not None:
                    value[column][row] = vector
        return Outcome(OK, detail, value, {"windows": len(self.starts)})


def _locate_windows(
    part: Part, column: str, hop_seconds: float | None, tools: "Tools", is_first: bool
) -> tuple[DecodedFile, list[float], np.ndarray]:
    """Return the decoded part, and the starts (seconds from the part's start) and positions of its windows.

    The middle window lies where both sides have data, as in the stage `index`. With `hop_seconds`, each side
    has windows up to its own end.
    """
    inputs = COLUMN_SIDES[column]
    decoded = part.to_decoded(SIDE_NAMES if hop_seconds is None else inputs, tools.steps)
    if part.is_still_image:
        return decoded, [0.0], decoded.window_positions()
    if hop_seconds is None:
        return decoded, [decoded.middle_start], decoded.window_positions()
    seconds = min(part.usable[side].extra["seconds"] for side in inputs)
    starts = decode.window_starts(tools.config, seconds, hop_seconds, is_first)
    return decoded, starts, decoded.window_positions(starts)


class Batch:
    """A queue of windows of any clips, for one column of vectors. `BATCH` of them are embedded at a time."""

    def __init__(self, model: Any, column: str) -> None:
        module = model.module
        self.model = model
        self.embed = {
            "audio": module.embed_audio,
            "video": module.embed_video,
            "both": lambda audio, video: module.embed_pair(audio, video)[0],
        }[column]
        # For each window: its arrays, one for each side that is embedded; and the list and the row in it
        # where its vector is to be stored.
        self.queue: list[tuple[tuple[np.ndarray, ...], list, int]] = []
        shapes = {"audio": model.config["audio_shape"], "video": model.config["video_shape"]}
        dtypes = {"audio": np.float16, "video": np.uint8}
        blank_window = [np.zeros((1, *shapes[side]), dtypes[side]) for side in COLUMN_SIDES[column]]
        self.dim = self._embed_arrays(blank_window).shape[1]  # of a vector

    def add(self, window: tuple[np.ndarray, ...], vectors: list, row: int) -> None:
        """Queue a window. Its vector is stored in vectors[row] when the batch is embedded.

        window: an array for each side that is embedded.
        """
        self.queue.append((window, vectors, row))
        if len(self.queue) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Embed the windows in the queue, and empty it."""
        if self.queue:
            windows = [window for window, _, _ in self.queue]
            windows += windows[-1:] * (BATCH - len(windows))
            embeddings = self._embed_arrays([np.stack(arrays) for arrays in zip(*windows, strict=True)])
            for (_, vectors, row), embedding in zip(self.queue, embeddings, strict=False):
                vectors[row] = embedding
            self.queue.clear()

    def _embed_arrays(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Embed a batch, (batch, dim) float32. inputs: (batch, ...) for each side that is embedded."""

        def embed_rows(rows: slice) -> np.ndarray:
            return self.model.compute(self.embed, *(x[rows] for x in inputs)).float().cpu().numpy()

        return np.concatenate(list(self.model.batch_size.map(embed_rows, len(inputs[0]))))


@dataclass(frozen=True)
class Tools:
    """What a process needs to embed clips."""

    config: dict[str, Any]  # config.json of the model
    steps: Steps  # decode files as the model needs them
    batches: dict[str, Batch]  # column of vectors ("audio", "video" or "both") -> its queue of windows
    sides: tuple[str, ...]  # which sides of files to decode: "audio", "video" or both


def exit_with_device() -> None:
    """End this process, with the exit status GPU_STATUS if PyTorch finds a GPU, else with 0."""
    from models.device import CPU, choose_device

    sys.exit(0 if choose_device() == CPU else GPU_STATUS)


@functools.cache
def load_tools(folder: str, identity: str, side: str, device: str | None = None) -> Tools:
    """Load the model in `folder`, once in each process.

    The model uses one thread, because the engine starts a process for each core.
    identity: the digest that its weights must have. side: what to embed: audio, video, or both. device: where
    to compute; None: on a GPU, if the process has one.
    Raises UserError if the model has other weights, or does not read that side.
    """
    import torch

    from models import checkpoint
    from models.device import choose_device

    torch.set_num_threads(1)
    model = checkpoint.load(folder, choose_device(device))
    if weights_digest(folder) != identity:
        raise UserError(f"{folder}: the model was replaced during the run: run again")
    names = model.module.embedding_names
    columns = [column for column in names if side in (column, "both")]
    if not columns:
        why = (
            "embeds sound and picture as one" if names[0] == "both" else f"does not read {SIDE_NAMES[side]}s"
        )
        raise UserError(f"--side {side}: the model in {folder} {why}: use --side {names[0]}")
    sides = tuple(dict.fromkeys(side for column in columns for side in COLUMN_SIDES[column]))
    batches = {column: Batch(model, column) for column in columns}
    return Tools(model.config, Steps(model.config), batches, sides)
