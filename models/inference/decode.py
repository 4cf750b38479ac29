"""Decode a media file into the windows that a model takes, with the same steps as the stages.

The model's config.json says how: sample rate, spectrogram, frames, clip duration.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

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

SIDE_NAMES = {"audio": "sound", "video": "picture"}  # side of a file -> its name in messages
ROUNDING = 1e-6  # tolerance for floating-point errors, in seconds or in hops


@dataclass
class DecodedFile:
    """`clip_seconds` (config.json) of a file: of a sound, an image or a video."""

    name: str  # of the file, for error messages
    data: Dataset  # has this file as its only clip; a missing side is all zeros
    missing: dict[str, str]  # "audio" or "video" -> why the file lacks it, for error messages
    wav: bytes | None = None  # the sound as a WAV file; None if it is missing
    image: np.ndarray | None = None  # the middle frame, (height, width, 3) uint8; None if it is missing
    is_still_image: bool = False
    # "audio", "video" or "both" -> (dim,). Empty until FileModel.read_and_embed (file_model.py) sets it.
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The duration that windows are cut from."""
        return float(self.data.seconds[0])

    @property
    def middle_start(self) -> float:
        """The start of the middle window, in seconds."""
        windows = self.data.windows
        return float(windows.start_seconds(windows.first_columns(self.data.seconds, MIDDLE))[0])

    def window_positions(self, starts: Sequence[float] | None = None) -> np.ndarray:
        """Return the positions, (n,) from 0 to 1, of the windows that begin at `starts` (seconds).

        None: the position of the middle window, (1,). Dataset.read and Model.embed take such positions.
        """
        if starts is None:
            return np.array([MIDDLE])
        return self.data.windows.positions(self.data.seconds, np.asarray(starts))


def decode_file(config: dict[str, Any], file: str | Path | Media, start: float = 0.0) -> DecodedFile:
    """Decode `clip_seconds` of a file, from `start` (seconds) on, for a model with this config.json.

    file: a path; or a Media, which names one file for the sound and another for the picture.
    Raises UserError if there is neither sound nor picture.
    """
    steps = Steps(config)
    clip = {"start": start, "end": None}
    media = file if isinstance(file, Media) else Media(str(file), str(file))
    path = media.video or media.audio or ""
    [wav] = steps.wav([clip], [media])
    [audio] = steps.spectrogram([clip], [wav.value]) if wav.value else [wav]
    [video] = steps.frames([clip], [media])
    decoded = steps.combine_outcomes(Path(path).name, audio, video, wav.value)
    if len(decoded.missing) == 2:
        why = "; ".join(dict.fromkeys(decoded.missing.values()))
        raise UserError(f"{path}: neither sound nor picture: {why}")
    if "audio" in decoded.missing:
        with open_media(path) as container:
            decoded.is_still_image = is_image_format(container)
    return decoded


def is_image_format(container: av.container.InputContainer) -> bool:
    """Return whether an open media file is a single image."""
    # ffmpeg's demuxers of images are called png_pipe, jpeg_pipe and so on.
    return container.format.name.endswith("_pipe")


def file_duration(path: str | Path) -> float:
    """Return the duration in a file's header, in seconds; 0 if it has none or cannot be opened."""
    try:
        with open_media(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except MediaError:
        return 0.0


# --- long files, in parts ---------------------------------------------------------------------------------


class FilePart(Protocol):
    """`clip_seconds` of a long file, as a DecodedFile or in another form."""

    is_still_image: bool

    @property
    def seconds(self) -> float: ...  # the duration that windows are cut from


AnyPart = TypeVar("AnyPart", bound=FilePart)


def decode_parts(
    decode_from: Callable[[float], AnyPart],
    config: dict[str, Any],
    hop_seconds: float,
    max_seconds: float = np.inf,
) -> Iterator[tuple[float, AnyPart]]:
    """Decode the first `max_seconds` of a file in parts. Yields each part with its start in seconds.

    The parts overlap such that each window, one every `hop_seconds`, lies completely in one of them.
    decode_from: decodes the part that begins at a number of seconds. It raises UserError if there is neither
    sound nor picture there; for the first part, this error is raised here too.
    """
    part_hop, start = part_hop_seconds(config, hop_seconds), 0.0
    while start < max_seconds:
        try:
            part = decode_from(start)
        except UserError:
            if start == 0:
                raise
            return  # the file ends before this part: there is nothing to decode
        yield start, part
        # The file ends in a part that is not full, or that does not reach the start of the next one.
        if part.is_still_image or part.seconds < min(part_hop, config["inputs"]["clip_seconds"]):
            return
        start += part_hop


def part_hop_seconds(config: dict[str, Any], hop_seconds: float) -> float:
    """Return the time from the start of one part of a long file to the next, in seconds.

    It is a multiple of `hop_seconds`, and so short that each window lies completely in a part.
    """
    inputs = config["inputs"]
    last_window_start = max(inputs["clip_seconds"] - inputs["audio"]["window_seconds"], 0.0)
    return (int(last_window_start / hop_seconds + ROUNDING) + 1) * hop_seconds


def window_starts(
    config: dict[str, Any], part_seconds: float, hop_seconds: float, is_first_part: bool = True
) -> list[float]:
    """Return where the windows of one part of a file begin, in seconds from the start of the part.

    There is a window every `hop_seconds`, and all of them are complete. The exception is a first part that is
    shorter than a window: it has one window, which begins at 0.
    part_seconds: the duration of the part that windows are cut from.
    """
    inputs = config["inputs"]
    # Later windows belong to the next part.
    max_windows = round(part_hop_seconds(config, hop_seconds) / hop_seconds)
    last_start = min(part_seconds, inputs["clip_seconds"]) - inputs["audio"]["window_seconds"]
    starts = [i * hop_seconds for i in range(max_windows) if i * hop_seconds <= last_start + ROUNDING]
    if not starts and is_first_part:
        return [0.0]
    return starts


# --- the steps of the stages ------------------------------------------------------------------------------


class Steps:
    """The steps of the stages `wav`, `spectrogram`, and `frames` or `faces`, set by a model's config.json.

    A step is a function from a list of clips and a list of their inputs to an Outcome for each clip.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        inputs = config["inputs"]
        # The settings of config.json, with the keys of the sections `audio` and `video` of params.yaml. That
        # of an old model names no backend: there was only one.
        self.audio = SimpleNamespace(**{"backend": "scipy"} | inputs["audio"])
        self.video = SimpleNamespace(**inputs["video"])
        seconds = inputs["clip_seconds"]
        self.wav = WavStep(self.audio, seconds)
        self.spectrogram = SpectrogramStep(self.audio, seconds)
        if config["input"] == "frame":
            self.frames: FramesStep | FacesStep = FramesStep(self.video, seconds)
        else:
            faces = SimpleNamespace(**inputs["faces"])
            face_frames = 1 if faces.frames == "middle" else self.video.frames
            self.frames = FacesStep(faces, seconds, face_frames)

    def combine_outcomes(self, name: str, audio: Outcome, video: Outcome, wav: bytes | None) -> DecodedFile:
        """Combine the outcomes of the steps `spectrogram` (audio) and `frames` (video) for one file.

        name: of the file. wav: the sound as a WAV file; None if it is missing.
        """
        outcomes = {"audio": audio, "video": video}
        missing = {side: outcome.detail for side, outcome in outcomes.items() if outcome.value is None}
        frames = video.value
        middle_frame = None if frames is None else frames[len(frames) // 2]
        return DecodedFile(name, self._one_clip_dataset(audio, video), missing, wav, middle_frame)

    def _one_clip_dataset(self, audio: Outcome, video: Outcome) -> Dataset:
        """Return a data set with one clip: so the code that cuts windows in training cuts them here too."""
        rule = WindowRule.from_config(self.audio, self.video, clip_columns=self.spectrogram.shape[2])
        audio_seconds, video_seconds = (
            np.array([outcome.extra.get("seconds", MISSING)]) for outcome in (audio, video)
        )
        spectrogram = np.zeros(self.spectrogram.shape, np.float16) if audio.value is None else audio.value
        frames = np.zeros(self.frames.shape, np.uint8) if video.value is None else video.value
        return Dataset(
            folder=Path(),  # no stage wrote it
            clip_id=["file"],
            split=np.array(["test"]),
            group=np.array(["file"]),
            recording=np.zeros(1, int),
            columns={"labels": [[]], "subject": [None]},
            seconds=rule.usable_seconds(audio_seconds, video_seconds),
            times=np.array([video.extra.get("times", np.linspace(0, 1, len(frames)))]),
            audio=spectrogram[None],
            video=frames[None],
            windows=rule,
            digest="",
        )
