"""The step of the stage `spectrogram`: five features of sound, in librosa's and Kaldi's conventions.

`mel`, `stft`, `log_spectrogram`, `log_frequency` start from librosa's `stft(center=True, window="hann",
pad_mode="constant")`; column t is centred at t * hop_length / sample_rate s. `fbank` is Kaldi's, whose column
t begins there. Sound is scaled to -1..1 and padded with silence up to clip_seconds.

No feature can exceed float16: |STFT| <= sum of the window = win_length / 2 <= 32,768 < 65,504, and the others
are logarithms. librosa itself is not used: its import takes longer than the computation of a shard.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse

from pipeline.media.feature_ranges import BYTES
from pipeline.media.files import SECONDS_COLUMN
from pipeline.media.wav import read_wav
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome, failed

LOG_FLOOR = 1e-5  # log_spectrogram: log(magnitude + LOG_FLOOR)
POWER_FLOOR = 1e-10  # decibels of silence: -100
BLOCK = 64  # frames transformed at once
KALDI_EPSILON = 1.1920929e-07  # float32's, Kaldi's floor before the logarithm
KALDI_PREEMPHASIS = 0.97
KALDI_LOW = 20.0  # Hz; the highest is half of the sample rate


@dataclass(frozen=True)
class SpectrogramStep:
    """(clips, WAV bytes) -> array of `shape` and `audio.dtype`.

    audio: the section of params.yaml. As uint8, a feature's range in BYTES is mapped to 0 to 255.
    extra["seconds"]: duration of the sound, without padding.
    """

    audio: Any
    clip_seconds: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, freq, time)."""
        a = self.audio
        if a.feature == "fbank":
            return 1, a.n_mels, max(0, 1 + (self._length - a.win_length) // a.hop_length)
        columns = 1 + self._length // a.hop_length
        if a.feature in ("mel", "log_frequency"):
            return 1, a.n_mels, columns
        return 2 if a.feature == "stft" else 1, 1 + a.n_fft // 2, columns

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/spectrogram"), Arrays(self.shape, self.audio.dtype), (SECONDS_COLUMN,))

    @property
    def _length(self) -> int:
        return round(self.clip_seconds * self.audio.sample_rate)

    def __call__(self, clips: list[dict], values: list[bytes]) -> Iterator[Outcome]:
        for _, content in zip(clips, values, strict=True):
            try:
                sound, rate = read_wav(content)
            except ValueError as e:
                yield failed("corrupt", str(e))
                continue
            if rate != self.audio.sample_rate:
                yield failed(
                    "corrupt", f"{rate} samples per second, audio.sample_rate is {self.audio.sample_rate}"
                )
                continue
            sound = sound[: self._length].astype(np.float32) / 32768
            yield Outcome(value=self.to_dtype(self.feature(sound)), extra={"seconds": len(sound) / rate})

    def to_dtype(self, feature: np.ndarray) -> np.ndarray:
        """Convert a feature to `audio.dtype`: float16, or uint8 with the range in BYTES."""
        if self.audio.dtype == "float16":
            return np.ascontiguousarray(feature, dtype=np.float16)
        low, high = BYTES[self.audio.feature]
        return np.ascontiguousarray(((feature - low) * (255 / (high - low))).round().clip(0, 255), np.uint8)

    def feature(self, sound: np.ndarray) -> np.ndarray:
        """Return the feature of `sound`, (time,) float32 in -1..1 without padding, as float32 of `shape`."""
        if self.audio.feature == "fbank":
            sound = sound - sound.mean() if len(sound) else sound
        # If there is padding, the last column of `part` is silence: it is repeated instead of computed.
        padded = np.zeros(
            min(self._length, len(sound) + self.audio.n_fft + self.audio.hop_length), np.float32
        )
        padded[: len(sound)] = sound
        part = FEATURES[self.audio.feature](padded, self.audio)
        value = np.empty(self.shape, np.float32)
        value[..., : part.shape[-1]] = part
        value[..., part.shape[-1] :] = part[..., -1:]
        return value


def frames_of(sound: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return a view (columns, length) of sound (time,): a frame every `hop` samples, whole frames only."""
    if len(sound) < length:
        return np.zeros((0, length), sound.dtype)
    return np.lib.stride_tricks.sliding_window_view(sound, length)[::hop]


def stft(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the complex STFT (time, 1 + n_fft // 2), the transpose of librosa's."""
    padded = np.pad(sound, audio.n_fft // 2)
    frames, window = frames_of(padded, audio.n_fft, audio.hop_length), _window(audio.n_fft, audio.win_length)
    return _spectrum(lambda part: part * window, frames, audio.n_fft)


def _spectrum(prepare: Callable[[np.ndarray], np.ndarray], frames: np.ndarray, size: int) -> np.ndarray:
    """Return the FFT of prepared frames (time, length): complex64 (time, 1 + size // 2).

    It is computed in float64: rounding to float32 causes errors of tenths of a decibel at 80 dB below a loud
    tone. Blocks that fit into the processor's cache make it three times as fast.
    """
    spectrum = np.empty((len(frames), 1 + size // 2), np.complex64)
    for i in range(0, len(frames), BLOCK):
        spectrum[i : i + BLOCK] = scipy.fft.rfft(prepare(frames[i : i + BLOCK]), n=size, axis=1, workers=1)
    return spectrum


@functools.lru_cache(maxsize=8)
def _window(n_fft: int, win_length: int) -> np.ndarray:
    """Return a periodic Hann window in the middle of n_fft samples, float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    padding = (n_fft - win_length) // 2
    return np.pad(window, (padding, n_fft - win_length - padding))


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Return the power (freq, time), float32, of a complex spectrum (time, freq)."""
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return np.ascontiguousarray(power.T)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, np.float32(POWER_FLOOR)))


def _mel(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return librosa's mel spectrogram in dB: power 2, Slaney's scale and normalization, ref 1, no top_db."""
    bank = mel_bank(audio.sample_rate, audio.n_fft, audio.n_mels, audio.fmin, audio.fmax)
    return _decibels(bank @ _power(stft(sound, audio)))[None]


def _stft(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the STFT: channel 0 is the real part, channel 1 the imaginary part."""
    spectrum = stft(sound, audio).T
    return np.stack([spectrum.real, spectrum.imag])


def _log_spectrogram(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return log(|STFT| + 1e-5), natural logarithm."""
    return np.log(np.sqrt(_power(stft(sound, audio))) + np.float32(LOG_FLOOR))[None]


def _log_frequency(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the power in dB in n_mels bins, evenly spaced in log frequency from fmin to fmax."""
    bank = log_bank(audio.sample_rate, audio.n_fft, audio.n_mels, audio.fmin, audio.fmax)
    return _decibels(bank @ _power(stft(sound, audio)))[None]


def _fbank(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return Kaldi's log mel filterbank (1, n_mels, time).

    It is the transpose of torchaudio.compliance.kaldi.fbank(htk_compat=True, use_energy=False,
    window_type="hanning", dither=0, num_mel_bins=n_mels).

    The caller removes the mean of the waveform. Each frame of win_length samples: subtract its mean,
    pre-emphasis of 0.97, symmetric Hann window, zero padding to a power of two, power spectrum, triangular
    bands evenly spaced on Kaldi's mel scale from 20 Hz to half of the sample rate (fmin, fmax and n_fft are
    ignored), logarithm. Whole frames only (snip_edges).
    """
    window, size = np.hanning(audio.win_length), 1 << (audio.win_length - 1).bit_length()

    def prepare(part: np.ndarray) -> np.ndarray:
        part = part - part.mean(axis=1, keepdims=True)
        previous = np.concatenate([part[:, :1], part[:, :-1]], axis=1)
        return (part - KALDI_PREEMPHASIS * previous) * window

    frames = frames_of(sound.astype(np.float64), audio.win_length, audio.hop_length)
    power = _power(_spectrum(prepare, frames, size))
    return np.log(np.maximum(kaldi_bank(audio.sample_rate, size, audio.n_mels) @ power, KALDI_EPSILON))[None]


FEATURES: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "mel": _mel,
    "stft": _stft,
    "log_spectrogram": _log_spectrogram,
    "log_frequency": _log_frequency,
    "fbank": _fbank,
}


# --- filter banks: sparse (bins, 1 + n_fft // 2) float32; their product runs on one core only -------------


@functools.lru_cache(maxsize=8)
def mel_bank(rate: int, n_fft: int, bins: int, low: float, high: float | None) -> scipy.sparse.csr_array:
    """Return librosa.filters.mel: triangles evenly spaced on Slaney's mel scale, each of area 1 (Hz)."""
    edges = _from_slaney(np.linspace(_to_slaney(low), _to_slaney(high or rate / 2), bins + 2))
    bank = _triangles(np.fft.rfftfreq(n_fft, 1 / rate), edges) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return scipy.sparse.csr_array(bank.astype(np.float32))


@functools.lru_cache(maxsize=8)
def log_bank(rate: int, n_fft: int, bins: int, low: float, high: float | None) -> scipy.sparse.csr_array:
    """Return bins evenly spaced in log frequency, with centres from `low` to `high` (Hz); weights sum to 1.

    The weights of a bin decrease linearly to 0 over the distance to its neighbours, or over one bin of the
    FFT if that is wider, so that no bin is empty: low bins interpolate between bins of the FFT. `low` is
    raised to one bin of the FFT (0 has no logarithm).
    """
    step = rate / n_fft
    low, high = max(low, step), high or rate / 2
    ratio = (high / low) ** (1 / max(1, bins - 1))
    centres = low * ratio ** np.arange(bins)
    distance = np.arange(1 + n_fft // 2) * step - centres[:, None]  # (bins, freq)
    below = np.maximum(centres - centres / ratio, step)[:, None]
    above = np.maximum(centres * ratio - centres, step)[:, None]
    bank = np.maximum(0, 1 - np.where(distance < 0, -distance / below, distance / above))
    return scipy.sparse.csr_array((bank / bank.sum(axis=1, keepdims=True)).astype(np.float32))


@functools.lru_cache(maxsize=8)
def kaldi_bank(rate: int, size: int, bins: int) -> scipy.sparse.csr_array:
    """Return Kaldi's triangles of height 1, linear on the mel scale 1127 log(1 + f / 700); 0 at rate / 2."""
    mel = 1127 * np.log1p(np.fft.rfftfreq(size, 1 / rate) / 700)
    edges = np.linspace(1127 * np.log1p(KALDI_LOW / 700), 1127 * np.log1p(rate / 2 / 700), bins + 2)
    bank = _triangles(mel, edges)
    bank[:, -1] = 0
    return scipy.sparse.csr_array(bank.astype(np.float32))


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return (bins, len(points)): triangle b is 0 at edges[b], 1 at edges[b + 1], 0 at edges[b + 2]."""
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((points - lower) / (centre - lower), (upper - points) / (upper - centre)))


def _to_slaney(hz: float) -> float:
    """Convert Hz to Slaney's mel scale: linear up to 1 kHz (mel 15), then 27 mels per factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _from_slaney(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))
