"""The step of the stage `wav`: the sound of clips as WAV (mono, 16 bit), decoded in this process.

Filters of ffmpeg cut, align and resample. An ffmpeg process for each clip takes five times as long, and one
for several clips twice as long (docs/decisions.md).
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

from pipeline.media.files import (
    SECONDS_COLUMN,
    Media,
    MediaError,
    clip_span,
    open_media,
    start_time,
    stream_packets,
)
from pipeline.store.formats import Files, Layout
from pipeline.store.status import Outcome, failed

LAYOUT = Layout(Path("data/wav"), Files(("audio",)), (SECONDS_COLUMN,))
PREROLL = (
    0.5  # s decoded before a clip's start: the first packets after a seek may decode to silence or noise
)
BATCH = 64  # frames between reads of the filters' output: a read takes longer than the filters


def write_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a mono WAV file of `samples` (time,) int16."""
    file = io.BytesIO()
    with wave.open(file, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(sample_rate)
        w.writeframes(np.ascontiguousarray(samples, dtype="<i2").data)
    return file.getvalue()


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Return samples (time,) int16 and sample rate of a mono 16-bit WAV file; ValueError for others."""
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

    audio: the section of params.yaml (sample_rate is read). extra["seconds"]: duration of the sound, at most
    `clip_seconds`. Sound that begins late is preceded by silence, so that it stays synchronous with the
    picture.
    """

    audio: Any
    clip_seconds: float

    def __call__(self, clips: list[dict], values: list[Media]) -> Iterator[Outcome]:
        for clip, media in zip(clips, values, strict=True):
            yield self._decode(clip, media)

    def _decode(self, clip: dict, media: Media) -> Outcome:
        if media.audio is None:
            return failed("no_audio", "the clip has no sound")
        name = os.path.basename(media.audio)
        start, length = clip_span(clip, self.clip_seconds)
        rate = self.audio.sample_rate
        try:
            for seek in (True, False) if start > 0 else (False,):
                with open_media(media.audio) as container:
                    if not container.streams.audio:
                        return failed("no_audio", f"{name}: no sound track")
                    if container.streams.audio[0].codec_context is None:
                        return failed("refused", f"{name}: no decoder for its sound")
                    decoder = _SoundDecoder(container, container.streams.audio[0])
                    samples = decoder.samples(start, length, rate, seek)
                if samples is not None:
                    break
        except MediaError as e:
            return e.outcome
        assert samples is not None  # without seeking, `samples` returns an array
        if not len(samples):
            if decoder.error_message:
                return failed("corrupt", f"{name}: {decoder.error_message}")
            return failed("too_short", f"{name}: no sound from {start:g} s on")
        return Outcome(value=write_wav(samples, rate), extra={"seconds": len(samples) / rate})


class _SoundDecoder:
    """Decodes a sound track of an open file. error_message: of the last damaged packet, or empty."""

    def __init__(self, container: InputContainer, track: AudioStream) -> None:
        self.container, self.track = container, track
        self.error_message = ""
        track.codec_context.thread_count = 1

    def samples(self, start: float, length: float, rate: int, seek: bool) -> np.ndarray | None:
        """Return mono samples (time,) int16, `length` s at most from `start` (s); empty without sound.

        Return None if `seek` is true and may have gone too far: the file must be read from its beginning.
        """
        clip_start = start_time(self.container) + start  # as a time stamp of the container
        parts: list[np.ndarray] = []
        graph_format, graph, n_frames = None, None, 0
        if seek:
            self._seek(clip_start - PREROLL)
        for frame in self._decode_frames():
            frame_start = (frame.pts or 0) / frame.sample_rate
            if seek and graph is None and frame_start > clip_start:
                return None
            if frame_start >= clip_start + length:
                break
            if frame_start + frame.samples / frame.sample_rate <= clip_start:
                continue
            frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
            if graph is None or frame_format != graph_format:  # a broadcast may change its format
                if graph:
                    parts += _pull_samples(graph, flush=True)
                graph = _filter_graph(frame, clip_start, length, rate, sum(map(len, parts)))
                graph_format = frame_format
            try:
                graph.push(frame)
            except av.EOFError:
                break  # the clip is complete, although the time stamp of this frame is before its end
            n_frames += 1
            if n_frames % BATCH == 0:
                parts += _pull_samples(graph)
        if graph:
            parts += _pull_samples(graph, flush=True)
        return np.concatenate(parts)[: round(length * rate)] if parts else np.empty(0, np.int16)

    def _seek(self, time: float) -> None:
        """Seek to `time` (s) or before it, by the index of the sound or, for FLV, of the picture."""
        for track, base in ((self.track, self.track.time_base), (None, Fraction(1, av.time_base))):
            with contextlib.suppress(av.FFmpegError):
                self.container.seek(round(time / (base or 1)), stream=track, backward=True, any_frame=False)
                return

    def _decode_frames(self) -> Iterator[AudioFrame]:
        """Yield frames with time stamps (`pts`) in samples, without damaged ones.

        Containers round time stamps (FLV to 1 ms), and MPEG streams lack some of them: a frame whose time
        stamp is within one tick of the end of the frame before is taken to follow without a gap.
        """
        next_pts = 0
        packets = stream_packets(self.container, self.track)
        while True:
            try:
                frames: Any = next(packets).decode()
            except StopIteration:
                return
            except av.FFmpegError as e:
                self.error_message = e.strerror or ""
                continue
            for frame in frames:
                rate = frame.sample_rate
                tick = float(frame.time_base) * rate
                if frame.pts is not None and abs(frame.pts * tick - next_pts) > max(tick, 1.0):
                    next_pts = round(frame.pts * tick)
                frame.pts, frame.time_base = next_pts, Fraction(1, rate)
                next_pts += frame.samples
                yield frame


def _filter_graph(
    frame: AudioFrame, clip_start: float, length: float, rate: int, n_samples: int
) -> av.filter.Graph:
    """Return ffmpeg's filters for frames like `frame`: cut to the clip, mono, 16 bit, `rate` Hz.

    Gaps are filled with silence. n_samples: of the clip that an earlier graph has returned.
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
        graph.add("atrim", f"start={clip_start:.6f}:end={clip_start + length:.6f}"),
        graph.add("asetpts", f"PTS-({clip_start:.6f})/TB"),
        graph.add("aresample", f"{rate}:async=1:first_pts={n_samples}"),
        graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
        graph.add("asetnsamples", f"{rate // 2}:p=0"),  # a few large frames cost less than many small ones
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*chain).configure()
    return graph


def _pull_samples(graph: av.filter.Graph, flush: bool = False) -> list[np.ndarray]:
    """Return the available output of the filters; with `flush`, all of it."""
    parts = []
    if flush:
        graph.push(None)
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            parts.append(graph.pull().to_ndarray()[0])
    return parts
