"""Sound of a clip with PyAV: filters of ffmpeg cut, align and resample in this process."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from pipeline.media.files import MediaError, open_media, start_time, stream_packets

# s decoded before a clip's start: the first packets after a seek may decode to silence or noise.
PREROLL = 0.5
BATCH = 64  # frames between two reads of the filters' output: a read takes longer than the filters themselves


def decode_sound(path: str, start: float, length: float, rate: int) -> np.ndarray:
    """Return mono samples (time,) int16 at `rate` Hz of a part of the file `path`; it may have none there.

    start, length: of the part, s; length is the maximum. Raises MediaError if the file cannot be decoded.
    """
    name = os.path.basename(path)
    samples: np.ndarray | None = None
    # If the container may have sought beyond the clip's start, read the file from its beginning.
    for with_seek in (True, False) if start > 0 else (False,):
        with open_media(path) as container:
            if not container.streams.audio:
                raise MediaError("no_audio", f"{name}: no sound track")
            if container.streams.audio[0].codec_context is None:
                raise MediaError("refused", f"{name}: no decoder for its sound")
            decoder = _SoundDecoder(container, container.streams.audio[0])
            samples = decoder.decode_samples(start, length, rate, with_seek)
        if samples is not None:
            break
    assert samples is not None  # without seeking, `decode_samples` returns an array
    if not len(samples) and decoder.error_message:
        raise MediaError("corrupt", f"{name}: {decoder.error_message}")
    return samples


class _SoundDecoder:
    """Decodes one audio stream of an open file.

    error_message: FFmpeg's for the last damaged packet; empty if there was none.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self.container = container
        self.stream = stream
        self.error_message = ""
        stream.codec_context.thread_count = 1

    def decode_samples(self, start: float, length: float, rate: int, with_seek: bool) -> np.ndarray | None:
        """Return mono samples (time,) int16 at `rate` Hz, from `start` on, `length` at most (both s).

        The array is empty if there is no sound. with_seek: start to decode shortly before `start`. Return
        None if the position after the seek may be too late.
        """
        clip_start = start_time(self.container) + start  # as a time stamp of the container, s
        parts: list[np.ndarray] = []  # of the samples
        graph: av.filter.Graph | None = None  # the filters
        graph_format: tuple[str, str, int] | None = None  # of the frames that the filters take
        n_frames = 0
        if with_seek:
            self._seek(clip_start - PREROLL)
        for frame in self._decode_frames():
            frame_start = (frame.pts or 0) / frame.sample_rate
            if with_seek and graph is None and frame_start > clip_start:
                return None
            if frame_start >= clip_start + length:
                break
            if frame_start + frame.samples / frame.sample_rate <= clip_start:
                continue
            frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
            if graph is None or frame_format != graph_format:  # a broadcast may change its format
                if graph:
                    parts += _pull_samples(graph, flush=True)
                graph = _make_filter_graph(frame, clip_start, length, rate, sum(map(len, parts)))
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
        """Go to `time` (s) in the file, or before it, by the index of the sound.

        If that fails, use the index of the file, which for FLV is that of the picture.
        """
        for stream, time_base in ((self.stream, self.stream.time_base), (None, Fraction(1, av.time_base))):
            offset = round(time / (time_base or 1))
            with contextlib.suppress(av.FFmpegError):
                self.container.seek(offset, stream=stream, backward=True, any_frame=False)
                return

    def _decode_frames(self) -> Iterator[AudioFrame]:
        """Yield the frames from here on, without damaged ones. Their time stamps (`pts`) count samples.

        Containers round time stamps (FLV to 1 ms), and MPEG streams lack some of them. So a frame whose time
        stamp differs from the end of the frame before by at most one tick follows it without a gap.
        """
        next_pts = 0  # where the frame before ends, in samples
        packets = stream_packets(self.container, self.stream)
        while True:  # not a `for` loop: an error would end it, but the next packet can be decoded
            try:
                frames: Any = next(packets).decode()
            except StopIteration:
                return
            except av.FFmpegError as e:
                self.error_message = e.strerror or ""
                continue
            for frame in frames:
                rate = frame.sample_rate
                tick = float(frame.time_base) * rate  # the unit of the container's time stamps, in samples
                if frame.pts is not None and abs(frame.pts * tick - next_pts) > max(tick, 1.0):
                    next_pts = round(frame.pts * tick)
                frame.pts = next_pts
                frame.time_base = Fraction(1, rate)
                next_pts += frame.samples
                yield frame


def _make_filter_graph(
    frame: AudioFrame, clip_start: float, length: float, rate: int, n_samples: int
) -> av.filter.Graph:
    """Return ffmpeg's filters for frames of the format of `frame`.

    They cut the frames to the clip, fill gaps with silence, and return mono samples of 16 bit at `rate` Hz.
    clip_start: as a time stamp of the container, s. length: of the clip, s. n_samples: of the clip that
    other filters have returned before, for frames of another format.
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
        graph.add("asetpts", f"PTS-({clip_start:.6f})/TB"),  # the clip's start becomes 0
        graph.add("aresample", f"{rate}:async=1:first_pts={n_samples}"),
        graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
        graph.add("asetnsamples", f"{rate // 2}:p=0"),  # a few large frames cost less than many small ones
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*chain).configure()
    return graph


def _pull_samples(graph: av.filter.Graph, flush: bool = False) -> list[np.ndarray]:
    """Return the output of the filters that is available, as arrays (time,) int16.

    flush: there is no further input. Then the output is complete.
    """
    parts = []
    if flush:
        graph.push(None)
    # The filters raise one of these when they have no more output: without further input, or at the end.
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            parts.append(graph.pull().to_ndarray()[0])
    return parts
