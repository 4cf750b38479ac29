"""Synthetic recordings: the brightness of a frame encodes its number, the sound is a sine."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np

REAL_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "real_clips"
STEP = 3  # levels of luma from one frame to the next

AUDIO = SimpleNamespace(
    dtype="float16",
    sample_rate=16000,
    feature="mel",
    backend="scipy",
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=64,
    fmin=50.0,
    fmax=8000.0,
    n_mfcc=20,
    n_bins=84,
    bins_per_octave=12,
    n_chroma=12,
    pcen_gain=0.98,
    pcen_bias=2.0,
    pcen_power=0.5,
    pcen_time_constant=0.4,
    window_seconds=1.0,
)


def clip_row(start: float | None = None, end: float | None = None) -> dict:
    return {"clip_id": "a", "start": start, "end": end}


def frame_numbers(pictures: np.ndarray) -> list[int]:
    """Return the numbers of frames made by `grey_frame`, (n, height, width, 3) uint8 -> n."""
    return [round(float(p.mean()) * 219 / 255 / STEP) for p in pictures]


def grey_frame(i: int, width: int = 96, height: int = 64, form: str = "yuv420p") -> av.VideoFrame:
    """Return frame number i, whose brightness encodes i."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = 16 + STEP * i
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    return frame if form == "yuv420p" else frame.reformat(format=form)


def sine(seconds: float, pitch: float = 440.0, rate: int = 44100) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def record(
    path: Path,
    frames=60,
    codec: str = "flv1",
    rate: int = 30,
    gop: int = 12,
    form: str = "yuv420p",
    times=None,
    options=None,
    sound: np.ndarray | None = None,
    sound_codec: str = "libmp3lame",
    sound_at: float = 0.0,
    format: str | None = None,
    aspect: Fraction | None = None,
    **more,
) -> Path:
    """Write a file of `frames` (a count, or a list of av.VideoFrame; 0: no video) and `sound` (44,100 Hz).

    times: when each frame is shown, in 1 / rate s. sound_at: when the sound begins, s.
    """
    pictures = [grey_frame(i, form=form) for i in range(frames)] if isinstance(frames, int) else frames
    with av.open(str(path), "w", format=format, **more) as out:
        video = audio = None
        if pictures:
            video = out.add_stream(codec, rate=rate, options=options or {})
            video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, form
            video.gop_size = gop
            video.bit_rate = 4_000_000
            video.codec_context.time_base = Fraction(1, rate)
            if aspect:
                video.codec_context.sample_aspect_ratio = aspect
        if sound is not None:
            audio = out.add_stream(sound_codec, rate=44100, layout="mono")
        jobs = []
        for i, picture in enumerate(pictures):
            picture.pts = (times or range(len(pictures)))[i]
            picture.time_base = Fraction(1, rate)
            jobs.append((picture.pts / rate, video, picture))
        for first in range(0, 0 if sound is None else len(sound), 1024):
            block = av.AudioFrame.from_ndarray(
                sound[None, first : first + 1024], format="fltp", layout="mono"
            )
            block.sample_rate, block.time_base = 44100, Fraction(1, 44100)
            block.pts = first + round(sound_at * 44100)
            jobs.append((block.pts / 44100, audio, block))
        for _, stream, frame in sorted(jobs, key=lambda j: j[0]):
            if stream is audio and audio.codec_context.format.name != "fltp":
                resampler = av.AudioResampler(audio.codec_context.format.name, "mono", 44100)
                for f in resampler.resample(frame):
                    out.mux(audio.encode(f))
            else:
                out.mux(stream.encode(frame))
        for stream in (video, audio):
            if stream is not None:
                out.mux(stream.encode(None))
    return path
