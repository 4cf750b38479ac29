"""A file as a model sees it: decoded and cut as the stages do, by what the model's config.json says."""

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
class Query:
    """A sound, a picture or a video, `clip_seconds` of it.

    data: a data set of this one clip; what it lacks is zeros. missing: "audio" or "video" -> why there is
    none. wav: what is heard, image (height, width, 3) uint8: the middle of what is seen; None where missing.
    still: whether it is one picture and nothing else.
    embeddings: "audio", "video" -> (dim,), once a model was asked (models.inference.file_model).
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
        """How much of it is usable: a window lies in that part."""
        return float(self.data.seconds[0])

    @property
    def middle_start(self) -> float:
        """When the middle window begins, s."""
        windows = self.data.windows
        return float(windows.start_seconds(windows.first_columns(self.data.seconds, MIDDLE))[0])

    def places(self, starts: Sequence[float] | None = None) -> np.ndarray:
        """`at` of Dataset.read, (n,): of the middle window, or of those that begin at `starts` (s)."""
        if starts is None:
            return np.array([MIDDLE])
        return self.data.windows.positions(self.data.seconds, np.asarray(starts))


def read(config: dict[str, Any], file: str | Path | Media, start: float = 0.0) -> Query:
    """A file from `start` (s) on, for a model with this `config`.

    file: its path; a Media where the sound is in one file and the picture in another.
    Raises UserError where there is neither sound nor picture in it.
    """
    steps = Steps(config)
    clip = {"start": start, "end": None}
    media = file if isinstance(file, Media) else Media(str(file), str(file))
    path = media.video or media.audio or ""
    [wav] = steps.wav([clip], [media])
    [heard] = steps.hear([clip], [wav.value]) if wav.value else [wav]
    [seen] = steps.see([clip], [media])
    query = steps.query(Path(path).name, heard, seen, wav.value)
    if len(query.missing) == 2:
        why = "; ".join(dict.fromkeys(query.missing.values()))
        raise UserError(f"{path}: neither sound nor picture: {why}")
    if "audio" in query.missing:
        with open_media(path) as container:
            query.still = container.format.name.endswith("_pipe")
    return query


def duration(path: str | Path) -> float:
    """How long a file says it is, s; 0 where it does not say, or cannot be opened."""
    try:
        with open_media(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except MediaError:
        return 0.0


def starts(config: dict[str, Any], seconds: float, every: float, first: bool = True) -> list[float]:
    """Where windows begin (s) in a part of a file of which `seconds` are real: each `every` s, and whole.

    One at the beginning where the file, whose `first` part it is, is shorter than a window.
    """
    inputs = config["inputs"]
    count = round(step(config, every) / every)
    last = min(seconds, inputs["clip_seconds"]) - inputs["audio"]["window_seconds"]
    found = [i * every for i in range(count) if i * every <= last + 1e-6]
    return found or [0.0] * first


def step(config: dict[str, Any], every: float) -> float:
    """How far (s) one part of a long file begins after another, so that each window lies in one of them."""
    inputs = config["inputs"]
    free = max(inputs["clip_seconds"] - inputs["audio"]["window_seconds"], 0.0)
    return (int(free / every + 1e-6) + 1) * every


def parts(
    read: Any, config: dict[str, Any], path: Any, every: float, longest: float = np.inf
) -> Iterator[tuple[float, Any]]:
    """The first `longest` s of a file in parts, each with its start (s), that hold all windows `every` s.

    read: `read`, or what does the same. Raises UserError as it does.
    """
    after, start = step(config, every), 0.0
    while start < longest:
        try:
            query = read(config, path, start)
        except UserError:
            if start == 0:
                raise
            return  # its end
        yield start, query
        if query.still or query.seconds < min(after, config["inputs"]["clip_seconds"]):
            return
        start += after


class Steps:
    """The steps of the stages `wav`, `spectrogram` and `frames` (or `faces`), for a model's `config`."""

    def __init__(self, config: dict[str, Any]) -> None:
        inputs = config["inputs"]
        self.audio, self.video = (SimpleNamespace(**inputs[name]) for name in ("audio", "video"))
        seconds = inputs["clip_seconds"]
        self.wav = WavStep(self.audio, seconds)
        self.hear = SpectrogramStep(self.audio, seconds)
        if config["input"] == "frame":
            self.see: FramesStep | FacesStep = FramesStep(self.video, seconds)
        else:
            faces = SimpleNamespace(**inputs["faces"])
            self.see = FacesStep(faces, seconds, {"middle": 1, "every": self.video.frames}[faces.frames])

    def query(self, name: str, heard: Outcome, seen: Outcome, wav: bytes | None) -> Query:
        """One clip, of what became of its sound and its picture."""
        sides = {"audio": heard, "video": seen}
        missing = {side: outcome.detail for side, outcome in sides.items() if outcome.value is None}
        image = None if seen.value is None else seen.value[len(seen.value) // 2]
        return Query(name, self._data(heard, seen), missing, wav, image)

    def _data(self, heard: Outcome, seen: Outcome) -> Dataset:
        """A data set of one clip, so that its window is cut as those of the data are."""
        windows = WindowRule.from_config(self.audio, self.video, clip_columns=self.hear.shape[2])
        sound, picture = (np.array([side.extra.get("seconds", MISSING)]) for side in (heard, seen))
        audio = np.zeros(self.hear.shape, np.float16) if heard.value is None else heard.value
        video = np.zeros(self.see.shape, np.uint8) if seen.value is None else seen.value
        return Dataset(
            folder=Path(),  # no stage has made it
            clip_id=["query"],
            split=np.array(["test"]),
            group=np.array(["query"]),
            recording=np.zeros(1, int),
            columns={"labels": [[]], "subject": [None]},
            seconds=windows.usable_seconds(sound, picture),
            times=np.array([seen.extra.get("times", np.linspace(0, 1, len(video)))]),
            audio=audio[None],
            video=video[None],
            windows=windows,
            digest="",
        )


Reader = Callable[[dict[str, Any], "str | Path", float], Query]
