"""The step of the stage `frames`: evenly spaced pictures of a clip, as players show them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.media.decoders import PYAV, decode, program, program_frames, pyav_frames
from pipeline.media.files import SECONDS_COLUMN, Media, clip_span
from pipeline.media.frame_converter import FrameConverter
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import OK, Outcome, failed

TIMES_COLUMN = ("times", pa.list_(pa.float64()))  # when the display of each frame begins, s


@dataclass(frozen=True)
class FramesStep:
    """The step of the stage `frames`: from the media files of a clip to (frames, height, width, 3) uint8 RGB.

    video: the section of params.yaml; `frames`, `height`, `width` and `fit` are read. clip_seconds: the
    maximum duration of the video. decoding: the section `media`.

    Frame i is the one that is shown in the middle of the i-th of `frames` equal parts of the clip. A still
    picture is shown during the whole clip. A picture is rotated as its file says, its pixels are made square,
    it is scaled until it covers height x width, and what exceeds that is cropped evenly on both sides. With
    `fit: squeeze` it is scaled to height x width, and its aspect is not kept.

    An outcome has extra["seconds"], the duration of the video, and extra["times"], when the display of each
    frame begins: s from the clip's start, negative if before it.
    """

    video: Any
    clip_seconds: float
    decoding: Any = PYAV

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, 3)."""
        return self.video.frames, self.video.height, self.video.width, 3

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/frames"), Arrays(self.shape, "uint8"), (SECONDS_COLUMN, TIMES_COLUMN))

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their files."""
        is_squeezed = getattr(self.video, "fit", "crop") == "squeeze"  # older models do not have it
        converter = FrameConverter(self.video.height, self.video.width, is_squeezed)
        for clip, media in zip(clips, values, strict=True):
            outcome = extract_frames(
                clip, media, self.clip_seconds, self.video.frames, converter, self.decoding
            )
            if outcome.status == OK:
                outcome.value = np.stack(outcome.value)
            yield outcome


def extract_frames(
    clip: dict, media: Media, clip_seconds: float, n: int, converter: FrameConverter, decoding: Any = PYAV
) -> Outcome:
    """Return an outcome whose value is a list of `n` pictures of a clip, each (height, width, 3) uint8 RGB.

    Each picture is the one that is shown in the middle of one of `n` equal parts of the clip. The outcome's
    extra has `seconds`, the duration of the video, and `times`, when the display of each picture begins: s
    from the clip's start, negative if before it.

    clip: a row of the clip table. clip_seconds: the maximum duration. converter: from a frame to a picture.
    decoding: the section `media` of params.yaml.
    """
    if media.video is None:
        return failed("no_video", "the clip has no picture")
    part = media.video, *clip_span(clip, "video", clip_seconds), n, converter
    return decode(
        decoding,
        {
            "pyav": lambda: pyav_frames.extract_frames(*part),
            "ffmpeg": lambda: program.on_local_file(program_frames.extract_frames, *part),
        },
    )
