"""The step of the stage `wav`: the sound of clips as WAV (mono, 16 bit), many clips to one ffmpeg process.

ffmpeg takes 13 ms to start, as long as it takes to decode three short clips; a process for each clip costs
three times what a batch of 32 does. A batch on which it fails is done again, each clip alone.
"""

import errno
import io
import itertools
import os
import signal
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ffmpeg as ffmpeg_python
import numpy as np

from pipeline import ffmpeg
from pipeline.media import Media, MediaError, begin, opened, span
from pipeline.outcome import Outcome, failed

BATCH = 32
PREROLL = 0.5  # s decoded before a clip's start: codecs need some packets to come to speed
TIMEOUT = 20.0  # s for a batch, and TIMEOUT_CLIP more for each clip
TIMEOUT_CLIP = 1.0


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
class _Job:
    """One clip for ffmpeg. Times in s; `zero` is the clip's start on the container's own clock."""

    path: str
    start: float
    zero: float
    length: float
    silence: float  # how long after the clip's start its sound begins


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
        pairs = zip(clips, values, strict=True)
        while batch := list(itertools.islice(pairs, BATCH)):
            planned = [self._plan(clip, media) for clip, media in batch]
            jobs = [p for p in planned if isinstance(p, _Job)]
            done = iter(self._decode(jobs))
            for plan in planned:
                yield next(done) if isinstance(plan, _Job) else plan

    def _plan(self, clip: dict, media: Media) -> _Job | Outcome:
        if media.audio is None:
            return failed("no_audio", "the clip has no sound")
        start, length = span(clip, self.clip_seconds)
        try:
            with opened(media.audio) as container:
                if not container.streams.audio:
                    return failed("no_audio", f"{os.path.basename(media.audio)}: no sound track")
                track = container.streams.audio[0]
                zero = begin(container) + start
                first = zero if track.start_time is None else float(track.start_time * track.time_base)
        except MediaError as e:
            return e.outcome
        return _Job(media.audio, start, zero, length, max(0.0, first - zero))

    def _decode(self, jobs: list[_Job]) -> Iterator[Outcome]:
        """One Outcome for each job: together, then alone those that the whole batch did not settle."""
        sounds = self._run(jobs)[0] if len(jobs) > 1 else [None] * len(jobs)
        for job, sound in zip(jobs, sounds, strict=True):
            problem = ""
            if sound is None:
                (sound,), problem = self._run([job])
            yield self._judge(job, sound, problem)

    def _judge(self, job: _Job, sound: np.ndarray | None, problem: str) -> Outcome:
        name = os.path.basename(job.path)
        if problem == "timeout":
            return failed("timeout", f"{name}: ffmpeg took longer than {TIMEOUT + TIMEOUT_CLIP:g} s")
        if problem.startswith("killed"):
            return failed("crashed", f"{name}: ffmpeg was {problem}")
        seconds = 0.0 if sound is None else len(sound) / self.audio.sample_rate
        if seconds <= job.silence:
            if problem:
                return failed("corrupt", f"{name}: {problem}")
            return failed("too_short", f"no sound from {job.start:g} s on")
        return Outcome(value=write_wav(sound, self.audio.sample_rate), extra={"seconds": seconds})

    def _run(self, jobs: list[_Job]) -> tuple[list[np.ndarray | None], str]:
        """The sound of each job, None where there is none, and why.

        From a batch only what came out well counts; from a job alone, all that could be decoded.
        """
        with tempfile.TemporaryDirectory(prefix="earsight-") as folder:
            targets = [os.path.join(folder, f"{i}.raw") for i in range(len(jobs))]
            status, said = ffmpeg.run(self._command(jobs, targets), TIMEOUT + TIMEOUT_CLIP * len(jobs))
            if status is None:
                return [None] * len(jobs), "timeout"
            if os.strerror(errno.ENOSPC) in said:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)  # no fault of the clips
            if status != 0 and len(jobs) > 1:
                return [None] * len(jobs), "failed"
            if status < 0:
                return [None], f"killed by {signal.Signals(-status).name}"
            sounds = []
            for job, target in zip(jobs, targets, strict=True):
                sound = np.fromfile(target, dtype="<i2") if os.path.exists(target) else None
                limit = round(job.length * self.audio.sample_rate)
                sounds.append(sound[:limit] if sound is not None and len(sound) else None)
        return sounds, _short(said, jobs) if status or said else ""

    def _command(self, jobs: list[_Job], targets: list[str]) -> list[str]:
        rate = self.audio.sample_rate
        outputs = []
        for job, target in zip(jobs, targets, strict=True):
            seek = max(0.0, job.start - PREROLL)
            options = dict(ffmpeg.GUARD, vn=None, sn=None, dn=None, threads=1)
            if seek:
                options |= {"ss": seek, "noaccurate_seek": None}
            # Cut on the container's own clock, kept by -copyts: ffmpeg's would begin with the first sound.
            cut = (
                f"atrim=start={job.zero:.6f}:end={job.zero + job.length:.6f},asetpts=PTS-({job.zero:.6f})/TB"
            )
            # Silence where sound begins late or is missing; then blocks of half a second, so that ffmpeg's
            # threads hand over less often.
            even = f"aresample={rate}:async=1:first_pts=0,aformat=sample_fmts=s16:channel_layouts=mono"
            even += f",asetnsamples={rate // 2}:p=0"
            source = ffmpeg_python.input(ffmpeg.url(job.path), **options)["a:0"]
            outputs.append(
                ffmpeg_python.output(source, ffmpeg.url(target), af=f"{cut},{even}", f="s16le", threads=1)
            )
        merged = ffmpeg_python.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
        limits = ("-timelimit", str(int(TIMEOUT + TIMEOUT_CLIP * len(jobs))), "-max_error_rate", "1")
        quiet = ("-hide_banner", "-nostdin", "-v", "error", "-y", "-copyts", *limits)
        # Options for the whole run stand first: -max_error_rate and the like are read before the inputs.
        return [ffmpeg.binary(), *quiet, *merged.get_args()]


def _short(said: str, jobs: list[_Job]) -> str:
    """The last line that ffmpeg said, without the folders that files lie in."""
    lines = [line for line in said.splitlines() if line.strip()]
    text = lines[-1] if lines else "ffmpeg failed"
    for job in jobs:
        text = text.replace(os.path.abspath(job.path), os.path.basename(job.path))
    return text
