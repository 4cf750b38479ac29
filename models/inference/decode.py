"""Decode a file as a model expects it: with the steps of the stages, by the model's config.json."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np

from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import MIDDLE, MISSING, WindowRule
from pipeline.errors import UserError
from pipeline.media.faces import FacesStep
from pipeline.media.files import Media, MediaError, open_media
from pipeline.media.frames import FramesStep
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.media.wav import WavStep
from pipeline.store.status import Outcome


@dataclass
class DecodedFile:
    """`clip_seconds` of a sound, a picture or a video.

    data: a data set of this one clip; a missing side is zeros. missing: "audio" or "video" -> why it is
    missing. wav: the sound; image: the middle frame, (height, width, 3) uint8; None if missing.
    still: whether the file is a single picture.
    embeddings: "audio", "video" -> (dim,); empty until models.inference.file_model embeds the file.
    """

    name: str
    data: Dataset
    missing: dict[str, str]
    wav: bytes | None = None
    image: np.ndarray | None = None
    still: bool = False
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The usable duration: windows lie within it."""
        return float(self.data.seconds[0])

    @property
    def middle_start(self) -> float:
        """The start of the middle window (s)."""
        windows = self.data.windows
        return float(windows.start_seconds(windows.first_columns(self.data.seconds, MIDDLE))[0])

    def positions(self, starts: Sequence[float] | None = None) -> np.ndarray:
        """Return window positions for Dataset.read, (n,): of the middle window, or of starts (s)."""
        if starts is None:
            return np.array([MIDDLE])
        return self.data.windows.positions(self.data.seconds, np.asarray(starts))


def read(config: dict[str, Any], file: str | Path | Media, start: float = 0.0) -> DecodedFile:
    """Read a file from `start` (s) on, for a model with this `config`.

    file: a path, or a Media if sound and picture are in two files.
    Raises UserError if it has neither sound nor picture.
    """
    steps = Steps(config)
    clip = {"start": start, "end": None}
    media = file if isinstance(file, Media) else Media(str(file), str(file))
    path = media.video or media.audio or ""
    [wav] = steps.wav([clip], [media])
    [sound] = steps.spectrogram([clip], [wav.value]) if wav.value else [wav]
    [picture] = steps.frames([clip], [media])
    decoded = steps.to_decoded(Path(path).name, sound, picture, wav.value)
    if len(decoded.missing) == 2:
        why = "; ".join(dict.fromkeys(decoded.missing.values()))
        raise UserError(f"{path}: neither sound nor picture: {why}")
    if "audio" in decoded.missing:
        with open_media(path) as container:
            decoded.still = container.format.name.endswith("_pipe")
    return decoded


def file_duration(path: str | Path) -> float:
    """Return the duration in a file's header (s); 0 if it has none or the file cannot be opened."""
    try:
        with open_media(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except MediaError:
        return 0.0


def window_starts(config: dict[str, Any], seconds: float, every: float, is_first: bool = True) -> list[float]:
    """Return the starts (s) of the complete windows in a part of a file, one each `every` s.

    seconds: the usable duration of the part. is_first: the part is the beginning of the file: it has one
    window even if it is shorter than a window.
    """
    inputs = config["inputs"]
    count = round(part_hop(config, every) / every)
    last = min(seconds, inputs["clip_seconds"]) - inputs["audio"]["window_seconds"]
    offsets = [i * every for i in range(count) if i * every <= last + 1e-6]
    return offsets or [0.0] * is_first


def part_hop(config: dict[str, Any], every: float) -> float:
    """Return the hop (s) from one part of a long file to the next, so that each window lies within a part."""
    inputs = config["inputs"]
    slack = max(inputs["clip_seconds"] - inputs["audio"]["window_seconds"], 0.0)
    return (int(slack / every + 1e-6) + 1) * every


def read_parts(
    read: Any, config: dict[str, Any], path: Any, every: float, longest: float = np.inf
) -> Iterator[tuple[float, Any]]:
    """Read the first `longest` s of a file in parts that contain all windows, one each `every` s.

    Yields (start (s), part). read: `read`, or a function with the same parameters; its result has `still` and
    `seconds`. Raises UserError if it raises one for the first part.
    """
    hop, start = part_hop(config, every), 0.0
    while start < longest:
        try:
            decoded = read(config, path, start)
        except UserError:
            if start == 0:
                raise
            return  # the end of the file
        yield start, decoded
        if decoded.still or decoded.seconds < min(hop, config["inputs"]["clip_seconds"]):
            return
        start += hop


class Steps:
    """The steps of the stages `wav`, `spectrogram` and `frames` (or `faces`), for a model's `config`."""

    def __init__(self, config: dict[str, Any]) -> None:
        inputs = config["inputs"]
        self.audio, self.video = (SimpleNamespace(**inputs[name]) for name in ("audio", "video"))
        seconds = inputs["clip_seconds"]
        self.wav = WavStep(self.audio, seconds)
        self.spectrogram = SpectrogramStep(self.audio, seconds)
        if config["input"] == "frame":
            self.frames: FramesStep | FacesStep = FramesStep(self.video, seconds)
        else:
            faces = SimpleNamespace(**inputs["faces"])
            self.frames = FacesStep(faces, seconds, {"middle": 1, "every": self.video.frames}[faces.frames])

    def to_decoded(self, name: str, sound: Outcome, picture: Outcome, wav: bytes | None) -> DecodedFile:
        """Return the file made of the outcomes of `spectrogram` and `frames`."""
        sides = {"audio": sound, "video": picture}
        missing = {side: outcome.detail for side, outcome in sides.items() if outcome.value is None}
        image = None if picture.value is None else picture.value[len(picture.value) // 2]
        return DecodedFile(name, self._data(sound, picture), missing, wav, image)

    def _data(self, sound: Outcome, picture: Outcome) -> Dataset:
        """Return a data set of one clip: so its windows are cut by the same code as in training."""
        windows = WindowRule.from_config(self.audio, self.video, clip_columns=self.spectrogram.shape[2])
        seconds = [np.array([side.extra.get("seconds", MISSING)]) for side in (sound, picture)]
        audio = np.zeros(self.spectrogram.shape, np.float16) if sound.value is None else sound.value
        video = np.zeros(self.frames.shape, np.uint8) if picture.value is None else picture.value
        return Dataset(
            folder=Path(),  # no stage wrote it
            clip_id=["file"],
            split=np.array(["test"]),
            group=np.array(["file"]),
            recording=np.zeros(1, int),
            columns={"labels": [[]], "subject": [None]},
            seconds=windows.usable_seconds(*seconds),
            times=np.array([picture.extra.get("times", np.linspace(0, 1, len(video)))]),
            audio=audio[None],
            video=video[None],
            windows=windows,
            digest="",
        )


Reader = Callable[[dict[str, Any], "str | Path", float], DecodedFile]
