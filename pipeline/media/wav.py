"""The step of the stage `wav`: the sound of clips as WAV (mono, 16 bit), decoded in this process.

ffmpeg's own filters cut, place and resample. A process of ffmpeg for each clip takes five times as long, and
one for many clips twice (docs/decisions.md).
"""

import contextlib
import io
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from pipeline.media.files import SECONDS, Media, MediaError, begin, opened, packets, span
from pipeline.store.formats import Files, Layout
from pipeline.store.status import Outcome, failed

LAYOUT = Layout(Path("data/wav"), Files(("audio",)), (SECONDS,))
PREROLL = 0.5  # s decoded before a clip's start: codecs need some packets to come to speed
HELD = 64  # frames that go into the filters before their output is fetched: asking costs more than filtering


def write_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """A WAV file of `samples` (time,) int16, one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(sample_rate)
        w.writeframes(np.ascontiguousarray(samples, dtype="<i2").data)
    return file.getvalue()


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """(samples (time,) int16, samples per second) of a mono 16-bit WAV file; else ValueError."""
    try:
        with wave.open(io.BytesIO(content), "rb") as w:
            if w.getnchannels() != 1 or w.getsampwidth() != 2:
                raise ValueError(f"{w.getnchannels()} channels of {8 * w.getsampwidth()} bit, not one of 16")
            return np.frombuffer(w.readframes(w.getnframes()), dtype="<i2"), w.getframerate()
    except (wave.Error, EOFError) as e:
        raise ValueError(f"not a WAV file: {e}") from None


@dataclass(frozen=True)
class WavStep:
    """(clips, Media) -> WAV bytes.

    audio: the section of params.yaml (sample_rate is read). extra["seconds"]: how long
    the sound is, at most `clip_seconds`; sound that begins late has silence before it, so that it stays with
    the picture.
    """

    audio: Any
    clip_seconds: float

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        for clip, media in zip(clips, values, strict=True):
            yield self._outcome(clip, media)

    def _outcome(self, clip: dict, media: Media) -> Outcome:
        if media.audio is None:
            return failed("no_audio", "the clip has no sound")
        name = os.path.basename(media.audio)
        start, length = span(clip, self.clip_seconds)
        rate = self.audio.sample_rate
        try:
            for seek in (True, False) if start > 0 else (False,):
                with opened(media.audio) as container:
                    if not container.streams.audio:
                        return failed("no_audio", f"{name}: no sound track")
                    if container.streams.audio[0].codec_context is None:
                        return failed("refused", f"{name}: no decoder for its sound")
                    sound = _Sound(container, container.streams.audio[0])
                    samples = sound.samples(start, length, rate, seek)
                if samples is not None:
                    break
        except MediaError as e:
            return e.outcome
        assert samples is not None  # read from the beginning, there are some or none
        if not len(samples):
            if sound.problem:
                return failed("corrupt", f"{name}: {sound.problem}")
            return failed("too_short", f"{name}: no sound from {start:g} s on")
        return Outcome(value=write_wav(samples, rate), extra={"seconds": len(samples) / rate})


class _Sound:
    """The first sound track of an open file. `problem`: what could not be decoded of it, if anything."""

    def __init__(self, container: InputContainer, track: AudioStream) -> None:
        self.container, self.track = container, track
        self.problem = ""
        track.codec_context.thread_count = 1

    def samples(self, start: float, length: float, rate: int, seek: bool) -> np.ndarray | None:
        """(time,) int16, mono: `length` s at most from `start` (s) on; empty where there is no sound.

        With `seek`, None where seeking may have gone too far: the file must be read from its beginning.
        """
        zero = begin(self.container) + start  # the clip's start on the container's own clock
        parts: list[np.ndarray] = []
        kind, graph, held = None, None, 0
        if seek:
            self._seek(zero - PREROLL)
        for frame in self._decoded():
            begins = (frame.pts or 0) / frame.sample_rate
            if seek and graph is None and begins > zero:
                return None
            if begins >= zero + length:
                break
            if begins + frame.samples / frame.sample_rate <= zero:
                continue
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            if (
                graph is None or now != kind
            ):  # at the beginning, and where a broadcast changes to another format
                if graph:
                    parts += _fetched(graph, last=True)
                kind, graph = now, _filters(frame, zero, length, rate, sum(map(len, parts)))
            try:
                graph.push(frame)
            except av.EOFError:
                break  # all that fits is in: times may waver at the end
            held += 1
            if held % HELD == 0:
                parts += _fetched(graph)
        if graph:
            parts += _fetched(graph, last=True)
        return np.concatenate(parts)[: round(length * rate)] if parts else np.empty(0, np.int16)

    def _seek(self, time: float) -> None:
        """To `time` (s) or before it, by the sound's own index or, as FLV needs it, the picture's."""
        for track, base in ((self.track, self.track.time_base), (None, Fraction(1, av.time_base))):
            with contextlib.suppress(av.FFmpegError):
                self.container.seek(round(time / (base or 1)), stream=track, backward=True, any_frame=False)
                return

    def _decoded(self) -> Iterator[AudioFrame]:
        """Frames whose times (`pts`) count samples; what is damaged is left out.

        Containers round times, FLV to 1 ms, and MPEG streams leave some out: where a frame follows the one
        before it within a tick of the container's clock, it follows at once.
        """
        clock = 0
        track = packets(self.container, self.track)
        while True:
            try:
                frames: Any = next(track).decode()
            except StopIteration:
                return
            except av.FFmpegError as e:
                self.problem = e.strerror or ""
                continue
            for frame in frames:
                rate = frame.sample_rate
                tick = float(frame.time_base) * rate
                if frame.pts is not None and abs(frame.pts * tick - clock) > max(tick, 1.0):
                    clock = round(frame.pts * tick)
                frame.pts, frame.time_base = clock, Fraction(1, rate)
                clock += frame.samples
                yield frame


def _filters(frame: AudioFrame, zero: float, length: float, rate: int, done: int) -> av.filter.Graph:
    """ffmpeg's filters for frames like `frame`: cut to the clip, mono, 16 bit, `rate` samples per second.

    Silence where sound begins late or is missing; `done` samples have come before.
    """
    graph = av.filter.Graph()
    graph.threads = 1
    chain = [
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("atrim", f"start={zero:.6f}:end={zero + length:.6f}"),
        graph.add("asetpts", f"PTS-({zero:.6f})/TB"),
        graph.add("aresample", f"{rate}:async=1:first_pts={done}"),
        graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
        graph.add("asetnsamples", f"{rate // 2}:p=0"),  # a few large frames cost less than many small ones
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*chain).configure()
    return graph


def _fetched(graph: av.filter.Graph, last: bool = False) -> list[np.ndarray]:
    """What has come out of the filters; with `last` all that will."""
    parts = []
    if last:
        graph.push(None)
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            parts.append(graph.pull().to_ndarray()[0])
    return parts
