"""Films to measure with: the texture and sound of a speaking face, as FLV shaped like CREMA-D's, and as
segments like AudioSet's."""

import functools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, FPS = 360, 480, 30
RATE = 44100
VIDEO_BITS, AUDIO_BITS = 1_000_000, 128_000  # per second
ABOUT = "FLV1 480x360, 30 frames/s, about 1 Mbit/s, a keyframe every 12; MP3 44.1 kHz mono; 2 to 3 s"


SECONDS, SEGMENT_FPS, SEGMENT_SIZE = 10, 25, (640, 360)
ABOUT_SEGMENTS = "H.264 640x360, 25 frames/s, 10 s, x264's own distance of keyframes (250); AAC 44.1 kHz mono"


def write_videos(folder: Path, distinct: int, one: Callable[[Path, int], Path] | None = None) -> list[Path]:
    """`distinct` different films in `folder`, on two cores. one: `film` or `segment`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(functools.partial(one or film, folder), range(distinct), chunksize=4))


def film(folder: Path, number: int) -> Path:
    """One film of 2 to 3 s."""
    rng = np.random.default_rng(number)
    seconds = 2 + number % 11 / 10
    path = folder / f"{number:04d}.flv"
    with av.open(str(path), "w", format="flv") as out:
        video = out.add_stream("flv1", rate=FPS, options={"g": "12"})
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", VIDEO_BITS
        audio = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        audio.bit_rate = AUDIO_BITS
        sound, at, block = voice(rng, seconds), 0, 1152
        for i, picture in enumerate(pictures(rng, round(seconds * FPS))):
            picture.pts, picture.time_base = i, Fraction(1, FPS)
            out.mux(video.encode(picture))
            while at < min(len(sound), (i + 1) * RATE // FPS):
                part = av.AudioFrame.from_ndarray(sound[None, at : at + block], format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = RATE, at, Fraction(1, RATE)
                out.mux(audio.encode(part))
                at += block
        for stream in (video, audio):
            out.mux(stream.encode(None))
    return path


def segment(folder: Path, number: int) -> Path:
    """One segment of 10 s."""
    rng = np.random.default_rng(number)
    path = folder / f"{number:04d}.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=SEGMENT_FPS, options={"preset": "veryfast", "crf": "26"})
        (video.width, video.height), video.pix_fmt = SEGMENT_SIZE, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        few, sound, at = list(pictures(rng, SEGMENT_FPS)), voice(rng, SECONDS), 0
        for i in range(SECONDS * SEGMENT_FPS):
            picture = few[i % len(few)].reformat(*SEGMENT_SIZE)
            picture.pts, picture.time_base = i, Fraction(1, SEGMENT_FPS)
            out.mux(video.encode(picture))
            while at < min(len(sound), (i + 1) * RATE // SEGMENT_FPS):
                part = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = RATE, at, Fraction(1, RATE)
                out.mux(audio.encode(part))
                at += 1024
        for stream in (video, audio):
            out.mux(stream.encode(None))
    return path


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width) with the spectrum of natural pictures: amplitude falls with frequency; deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    amplitude = 1 / np.maximum(frequency, 1 / max(height, width)) ** 1.2
    picture = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape)), (height, width))
    picture -= picture.mean()
    return (picture / picture.std()).astype(np.float32)


def pictures(rng: np.random.Generator, count: int):
    """A textured oval that sways before a textured wall, a mouth that moves, and a camera's noise."""
    h, w = 200, 150
    wall, face = 128 + 35 * texture(rng, HEIGHT, WIDTH), 140 + 40 * texture(rng, h, w)
    down, right = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    oval = np.clip((1 - np.hypot(down, right)) * 8, 0, 1).astype(np.float32)
    noise = [3 * rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32) for _ in range(4)]
    colours = [(128 + 12 * texture(rng, HEIGHT // 2, WIDTH // 2)).clip(0, 255) for _ in range(2)]
    planes = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    planes[HEIGHT:] = np.concatenate([c.ravel() for c in colours]).reshape(-1, WIDTH)
    phase = rng.uniform(0, 2 * np.pi)
    for i in range(count):
        luma = wall + np.roll(noise[i % 4], 7 * i, 1)
        top, left = int(80 + 20 * np.sin(i / 9 + phase)), int(165 + 25 * np.sin(i / 13 + phase))
        part = luma[top : top + h, left : left + w]
        part += oval * (face - part)
        part[130 : 145 + int(10 * np.sin(i))][:, 50:100] = 40
        planes[:HEIGHT] = luma.clip(0, 255)
        yield av.VideoFrame.from_ndarray(planes, format="yuv420p")


def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(time,) float32: harmonics of a pitch that wanders, in syllables, with some breath."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = rng.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.3 + 0.7 * np.abs(np.sin(2 * np.pi * rng.uniform(2, 5) * t))
    return (0.15 * tone * syllables + 0.01 * rng.standard_normal(len(t))).astype(np.float32)
