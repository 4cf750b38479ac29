"""The step of the stage `audio_quality`: what is wrong with the sound of a clip, and its fingerprint."""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pyarrow as pa
import scipy.fft

from pipeline.media.files import SECONDS_COLUMN
from pipeline.media.wav import read_wav
from pipeline.quality.fingerprint import CODE_BYTES, count_codes, fingerprint
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome, failed

MEASURES = ("silence", "loudness", "clipping", "bandwidth")  # columns of the index
FOLDER = Path("data/audio_quality")
BLOCK_SECONDS = 0.05  # of the blocks that are silent or not
SILENCE = 10 ** (-60 / 20)  # effective value of a silent block, at most; full scale is 1
FULL_SCALE = 0.95  # such samples count as clipped: encoders and resampling blur flat peaks
LOUDNESS_SECONDS = 0.4  # of a block, of which BS.1770 needs one
LOUDNESS_GATE = -69.9  # LUFS: FFmpeg gives -70 for a sound that is quieter than the gate of BS.1770
SPECTRUM_WINDOW = 1024  # samples of a window of the mean spectrum
MAX_WINDOWS = 64  # of the mean spectrum, spread evenly over the sound
BANDWIDTH_RANGE = 1e-6  # power of a frequency that belongs to the sound, as a share of the strongest one
BANDWIDTH_SMOOTHING = 8  # bins


@dataclass(frozen=True)
class AudioQualityStep:
    """The step of the stage `audio_quality`: from WAV files to fingerprints, uint8 (codes, 4).

    clip_seconds: the duration of a clip. Codes after the end of the sound are zero. An outcome has `seconds`
    and the MEASURES in its extra columns.
    """

    clip_seconds: float

    @property
    def layout(self) -> Layout:
        columns = (SECONDS_COLUMN, *((name, pa.float64()) for name in MEASURES))
        return Layout(FOLDER, Arrays((count_codes(self.clip_seconds), CODE_BYTES), "uint8"), columns)

    def __call__(self, clips: list[dict], values: list[bytes]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their WAV files."""
        for content in values:
            try:
                samples, rate = read_wav(content)
            except ValueError as e:
                yield failed("corrupt", str(e))
                continue
            codes = np.zeros((count_codes(self.clip_seconds), CODE_BYTES), np.uint8)
            computed = fingerprint(samples.astype(np.float32), rate)[: len(codes)]
            codes[: len(computed)] = computed
            yield Outcome(value=codes, extra={"seconds": len(samples) / rate} | measure_sound(samples, rate))


def measure_sound(samples: np.ndarray, rate: int) -> dict[str, Any]:
    """Return the MEASURES of a sound, by their names. samples: (time,) int16. rate: Hz.

    silence: share of blocks of 50 ms below -60 dB of full scale. loudness: LUFS; None if the sound is shorter
    than 0.4 s or below the gate of -70. clipping: share of samples at full scale. bandwidth: the highest
    frequency (Hz) whose mean power is at most 60 dB below that of the strongest frequency; 0 for silence.
    """
    sound = samples.astype(np.float32) / 32768
    return {
        "silence": _silence(sound, rate),
        "loudness": _loudness(samples, rate),
        "clipping": float(np.mean(np.abs(sound) >= FULL_SCALE)) if len(sound) else 0.0,
        "bandwidth": _bandwidth(sound, rate),
    }


def _silence(sound: np.ndarray, rate: int) -> float:
    """Return the share of blocks whose effective value is at most SILENCE. sound: (time,) in -1..1."""
    length = max(1, min(round(BLOCK_SECONDS * rate), len(sound)))
    blocks = sound[: len(sound) // length * length].reshape(-1, length)
    return float(np.mean(np.mean(blocks**2, axis=1) <= SILENCE**2)) if len(blocks) else 1.0


def _loudness(samples: np.ndarray, rate: int) -> float | None:
    """Return the integrated loudness in LUFS, as FFmpeg's filter ebur128 measures it; None if it has none.

    Source: ITU-R BS.1770 and EBU R 128.
    """
    if len(samples) < LOUDNESS_SECONDS * rate:
        return None
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=Fraction(1, rate))
    meter = graph.add("ebur128", "metadata=1:framelog=quiet")
    graph.link_nodes(source, meter, graph.add("abuffersink")).configure()
    graph.push(frame)
    graph.push(None)
    frames: deque[Any] = deque(maxlen=2)
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            frames.append(graph.pull())
    # Each has the loudness so far; the very last one may be too short to have it.
    values = (frame.metadata.get("lavfi.r128.I") for frame in reversed(frames))
    loudness = float(next((value for value in values if value), "-inf"))
    return loudness if loudness > LOUDNESS_GATE else None


def _bandwidth(sound: np.ndarray, rate: int) -> float:
    """Return the highest frequency of the mean spectrum, Hz. sound: (time,) in -1..1."""
    if len(sound) < SPECTRUM_WINDOW:
        sound = np.pad(sound, (0, SPECTRUM_WINDOW - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(sound, SPECTRUM_WINDOW)
    windows = windows[:: max(SPECTRUM_WINDOW // 2, len(windows) // MAX_WINDOWS)]
    spectrum = scipy.fft.rfft(windows * np.hanning(SPECTRUM_WINDOW).astype(np.float32))
    power = np.mean(spectrum.real**2 + spectrum.imag**2, axis=0)
    smooth = np.convolve(power, np.ones(BANDWIDTH_SMOOTHING) / BANDWIDTH_SMOOTHING, mode="same")
    audible = np.flatnonzero(smooth > BANDWIDTH_RANGE * smooth.max())
    return float(audible[-1] + 1) * rate / SPECTRUM_WINDOW if len(audible) else 0.0
