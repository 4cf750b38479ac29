"""The step of the stage `wav`: the sound of clips as WAV (mono, 16 bit)."""

import io
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.decoders import PYAV, decode, program, program_sound, pyav_sound
from pipeline.media.files import SECONDS_COLUMN, Media, clip_span
from pipeline.store.formats import Files, Layout
from pipeline.store.status import Outcome, failed

LAYOUT = Layout(Path("data/wav"), Files(("audio",)), (SECONDS_COLUMN,))


def write_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a mono WAV file of `samples` (time,) int16."""
    file = io.BytesIO()
    with wave.open(file, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)  # bytes
        w.setframerate(sample_rate)
        w.writeframes(np.ascontiguousarray(samples, dtype="<i2").data)
    return file.getvalue()


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Return the samples (time,) int16 and the sample rate (Hz) of a mono 16-bit WAV file.

    Raises ValueError for any other file.
    """
    try:
        with wave.open(io.BytesIO(content), "rb") as w:
            if w.getnchannels() != 1 or w.getsampwidth() != 2:
                raise ValueError(f"{w.getnchannels()} channels of {8 * w.getsampwidth()} bit, not one of 16")
            return np.frombuffer(w.readframes(w.getnframes()), dtype="<i2"), w.getframerate()
    except (wave.Error, EOFError) as e:
        raise ValueError(f"not a WAV file: {e}") from None


@dataclass(frozen=True)
class WavStep:
    """The step of the stage `wav`: from the media files of a clip to the bytes of a WAV file, mono, 16 bit.

    audio: the section of params.yaml; `sample_rate` is read. clip_seconds: the maximum duration.
    decoding: the section `media`.

    Sound that begins later than the clip is preceded by silence, so that it stays synchronous with the
    picture. An outcome has extra["seconds"], the duration of the sound.
    """

    audio: Any
    clip_seconds: float
    decoding: Any = PYAV

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their files."""
        for clip, media in zip(clips, values, strict=True):
            yield self._decode_clip(clip, media)

    def _decode_clip(self, clip: dict, media: Media) -> Outcome:
        """Return a WAV file with the sound of one clip, or why there is none."""
        if media.audio is None:
            return failed("no_audio", "the clip has no sound")
        start, length = clip_span(clip, "audio", self.clip_seconds)
        path, rate = media.audio, self.audio.sample_rate

        def convert(samples: np.ndarray) -> Outcome:
            """Return the outcome with these samples as a WAV file."""
            if not len(samples):
                return failed("too_short", f"{os.path.basename(path)}: no sound from {start:g} s on")
            return Outcome(value=write_wav(samples, rate), extra={"seconds": len(samples) / rate})

        return decode(
            self.decoding,
            {
                "pyav": lambda: convert(pyav_sound.decode_sound(path, start, length, rate)),
                "ffmpeg": lambda: convert(
                    program.on_local_file(program_sound.decode_sound, path, start, length, rate)
                ),
            },
        )
