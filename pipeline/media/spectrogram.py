"""The step of the stage `spectrogram`: features of sound, in librosa's and Kaldi's conventions.

`mel`, `stft`, `log_spectrogram`, `log_frequency` start from librosa's `stft(center=True, window="hann",
pad_mode="constant")`; column t is centred at t * hop_length / sample_rate s. `fbank` is Kaldi's, whose column
t begins there. `waveform` is no spectrogram: column t has the samples from there on. Sound is scaled to -1..1
and padded with silence up to clip_seconds.

No feature can exceed float16: |STFT| <= sum of the window = win_length / 2 <= 32,768 < 65,504, and the others
are logarithms. librosa itself is not used: its import takes longer than the computation of a shard.
"""

import functools
import math
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
BLOCK = 64  # frames that are transformed at once
KALDI_EPSILON = 1.1920929e-07  # float32's, Kaldi's floor before the logarithm
KALDI_PREEMPHASIS = 0.97
KALDI_LOW = 20.0  # Hz; the highest is half of the sample rate


@dataclass(frozen=True)
class SpectrogramStep:
    """The step of the stage `spectrogram`: from a clip's WAV file to an array (channels, freq, time).

    audio: the section of params.yaml. clip_seconds: shorter sound is padded with silence to this duration.

    The array has the type `audio.dtype`. As uint8, a feature's range in BYTES is mapped to 0..255. An outcome
    has extra["seconds"], the duration of the sound without padding.
    """

    audio: Any
    clip_seconds: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, freq, time) of the feature that `audio` selects."""
        audio = self.audio
        if audio.feature == "fbank":
            return 1, audio.n_mels, max(0, 1 + (self._n_samples - audio.win_length) // audio.hop_length)
        if audio.feature == "waveform":
            return 1, audio.hop_length, math.ceil(self._n_samples / audio.hop_length)
        n_columns = 1 + self._n_samples // audio.hop_length
        if audio.feature in ("mel", "log_frequency"):
            return 1, audio.n_mels, n_columns
        n_channels = 2 if audio.feature == "stft" else 1
        return n_channels, 1 + audio.n_fft // 2, n_columns

    @property
    def layout(self) -> Layout:
        return Layout(Path("data/spectrogram"), Arrays(self.shape, self.audio.dtype), (SECONDS_COLUMN,))

    @property
    def _n_samples(self) -> int:
        """The number of samples of a clip, with padding."""
        return round(self.clip_seconds * self.audio.sample_rate)

    def __call__(self, clips: list[dict], values: list[bytes]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. clips: rows of the clip table. values: their WAV files."""
        for _, content in zip(clips, values, strict=True):
            try:
                samples, rate = read_wav(content)
            except ValueError as e:
                yield failed("corrupt", str(e))
                continue
            if rate != self.audio.sample_rate:
                yield failed(
                    "corrupt", f"{rate} samples per second, audio.sample_rate is {self.audio.sample_rate}"
                )
                continue
            sound = samples[: self._n_samples].astype(np.float32) / 32768
            value = self.convert_dtype(self.compute_feature(sound))
            yield Outcome(value=value, extra={"seconds": len(sound) / rate})

    def convert_dtype(self, feature: np.ndarray) -> np.ndarray:
        """Convert a feature to `audio.dtype`: float16, or uint8 with the range in BYTES."""
        if self.audio.dtype == "float16":
            return np.ascontiguousarray(feature, dtype=np.float16)
        low, high = BYTES[self.audio.feature]
        return np.ascontiguousarray(((feature - low) * (255 / (high - low))).round().clip(0, 255), np.uint8)

    def compute_feature(self, sound: np.ndarray) -> np.ndarray:
        """Return the feature of a clip's sound, padded with silence: float32 (channels, freq, time).

        sound: (time,) float32 in -1..1, without padding.
        """
        if self.audio.feature == "fbank":
            sound = sound - sound.mean() if len(sound) else sound
        # All columns of silence are equal. So the padding is only long enough for one of them, which is then
        # repeated instead of computed.
        enough_samples = len(sound) + self.audio.n_fft + self.audio.hop_length
        padded = np.zeros(min(self._n_samples, enough_samples), np.float32)
        padded[: len(sound)] = sound
        computed = FEATURES[self.audio.feature](padded, self.audio)
        n_computed = computed.shape[-1]
        value = np.empty(self.shape, np.float32)
        value[..., :n_computed] = computed
        value[..., n_computed:] = computed[..., -1:]
        return value


def split_into_frames(sound: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return overlapping frames of sound (time,) as a view (frames, length). The last frame is a whole one.

    length: samples of a frame. hop: samples between the beginnings of two frames.
    """
    if len(sound) < length:
        return np.zeros((0, length), sound.dtype)
    return np.lib.stride_tricks.sliding_window_view(sound, length)[::hop]


def stft(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the complex STFT (frames, 1 + n_fft // 2), the transpose of librosa's.

    sound: (time,) float32. audio: the section of params.yaml.
    """
    padded = np.pad(sound, audio.n_fft // 2)
    frames = split_into_frames(padded, audio.n_fft, audio.hop_length)
    window = _hann_window(audio.n_fft, audio.win_length)
    return _transform_frames(frames, lambda block: block * window, audio.n_fft)


def _transform_frames(
    frames: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray], size: int
) -> np.ndarray:
    """Return the FFT of frames (frames, length): complex64 (frames, 1 + size // 2).

    prepare: a function that is applied to blocks of frames before, such as the multiplication by a window.
    size: of the FFT; a shorter frame is padded with zeros.

    The FFT is computed in float64: rounding to float32 causes errors of tenths of a decibel at 80 dB below a
    loud tone. Blocks that fit into the processor's cache make it three times as fast.
    """
    spectrum = np.empty((len(frames), 1 + size // 2), np.complex64)
    for i in range(0, len(frames), BLOCK):
        spectrum[i : i + BLOCK] = scipy.fft.rfft(prepare(frames[i : i + BLOCK]), n=size, axis=1, workers=1)
    return spectrum


@functools.lru_cache(maxsize=8)
def _hann_window(n_fft: int, win_length: int) -> np.ndarray:
    """Return a periodic Hann window of `win_length` samples in the middle of zeros: (n_fft,) float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    padding = (n_fft - win_length) // 2
    return np.pad(window, (padding, n_fft - win_length - padding))


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Return the power (freq, time), float32, of a complex spectrum (time, freq)."""
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return np.ascontiguousarray(power.T)


def _decibels(power: np.ndarray) -> np.ndarray:
    """Convert power to decibels, at least -100 dB."""
    return 10 * np.log10(np.maximum(power, np.float32(POWER_FLOOR)))


# --- the features: from sound (time,) float32 in -1..1; audio: the section of params.yaml -----------------


def _mel(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return librosa's mel spectrogram in dB, (1, n_mels, time).

    It has librosa's defaults, Slaney's scale and normalization and power 2, with ref=1 and without top_db.
    """
    bank = mel_bank(audio.sample_rate, audio.n_fft, audio.n_mels, audio.fmin, audio.fmax)
    return _decibels(bank @ _power(stft(sound, audio)))[None]


def _stft(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the STFT (2, 1 + n_fft // 2, time): channel 0 is the real part, channel 1 the imaginary part."""
    spectrum = stft(sound, audio).T
    return np.stack([spectrum.real, spectrum.imag])


def _log_spectrogram(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return log(|STFT| + 1e-5), natural logarithm, (1, 1 + n_fft // 2, time)."""
    return np.log(np.sqrt(_power(stft(sound, audio))) + np.float32(LOG_FLOOR))[None]


def _log_frequency(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the power in dB, (1, n_mels, time), in bins evenly spaced in log frequency from fmin to fmax."""
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
    window = np.hanning(audio.win_length)
    size = 1 << (audio.win_length - 1).bit_length()  # the next power of two

    def prepare(block: np.ndarray) -> np.ndarray:
        """Subtract the mean of each frame, emphasize high frequencies, and apply the window."""
        block = block - block.mean(axis=1, keepdims=True)
        previous_samples = np.concatenate([block[:, :1], block[:, :-1]], axis=1)
        return (block - KALDI_PREEMPHASIS * previous_samples) * window

    frames = split_into_frames(sound.astype(np.float64), audio.win_length, audio.hop_length)
    power = _power(_transform_frames(frames, prepare, size))
    bank = kaldi_bank(audio.sample_rate, size, audio.n_mels)
    return np.log(np.maximum(bank @ power, KALDI_EPSILON))[None]


def _waveform(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the samples, (1, hop_length, time): column t has those from t * hop_length on.

    The last column is padded with silence. So the same code cuts windows out of samples and spectrograms.
    """
    hop = audio.hop_length
    return np.pad(sound, (0, -len(sound) % hop)).reshape(1, -1, hop).transpose(0, 2, 1)


# audio.feature -> function that computes it from sound (time,) and the section `audio` of params.yaml.
FEATURES: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "mel": _mel,
    "stft": _stft,
    "log_spectrogram": _log_spectrogram,
    "log_frequency": _log_frequency,
    "fbank": _fbank,
    "waveform": _waveform,
}


# --- filter banks: they map a power spectrum to bins. Sparse float32: a product runs on one core only -----


@functools.lru_cache(maxsize=8)
def mel_bank(rate: int, n_fft: int, bins: int, low: float, high: float | None) -> scipy.sparse.csr_array:
    """Return librosa.filters.mel, (bins, 1 + n_fft // 2): triangles evenly spaced on Slaney's mel scale.

    rate: of the samples, Hz. low, high: the ends of the lowest and the highest triangle, Hz; high None: half
    of `rate`. Each triangle has the area 1.
    """
    edges = _from_slaney_mel(np.linspace(_to_slaney_mel(low), _to_slaney_mel(high or rate / 2), bins + 2))
    heights = 2 / (edges[2:] - edges[:-2])
    bank = _triangles(np.fft.rfftfreq(n_fft, 1 / rate), edges) * heights[:, None]
    return scipy.sparse.csr_array(bank.astype(np.float32))


@functools.lru_cache(maxsize=8)
def log_bank(rate: int, n_fft: int, bins: int, low: float, high: float | None) -> scipy.sparse.csr_array:
    """Return the filter bank (bins, 1 + n_fft // 2) of `log_frequency`; the weights of a bin sum to 1.

    The bins are evenly spaced in log frequency. rate: of the samples, Hz. low, high: the centres of the first
    and the last bin, Hz; high None: half of `rate`. `low` is raised to one bin of the FFT: log(0) is none.

    The weights of a bin decrease linearly to 0 over the distance to its neighbours, or over one bin of the
    FFT if that is wider, so that no bin is empty: low bins interpolate between bins of the FFT.
    """
    fft_step = rate / n_fft  # Hz between two bins of the FFT
    low = max(low, fft_step)
    high = high or rate / 2
    ratio = (high / low) ** (1 / max(1, bins - 1))  # of neighbouring centres
    centres = low * ratio ** np.arange(bins)
    distance = np.arange(1 + n_fft // 2) * fft_step - centres[:, None]  # (bins, freq), Hz
    width_below = np.maximum(centres - centres / ratio, fft_step)[:, None]
    width_above = np.maximum(centres * ratio - centres, fft_step)[:, None]
    bank = np.maximum(0, 1 - np.where(distance < 0, -distance / width_below, distance / width_above))
    return scipy.sparse.csr_array((bank / bank.sum(axis=1, keepdims=True)).astype(np.float32))


@functools.lru_cache(maxsize=8)
def kaldi_bank(rate: int, size: int, bins: int) -> scipy.sparse.csr_array:
    """Return Kaldi's filter bank (bins, 1 + size // 2): triangles of height 1 on Kaldi's mel scale.

    rate: of the samples, Hz. size: of the FFT. The weights at half of the sample rate are 0.
    """
    edges = np.linspace(_to_kaldi_mel(KALDI_LOW), _to_kaldi_mel(rate / 2), bins + 2)
    bank = _triangles(_to_kaldi_mel(np.fft.rfftfreq(size, 1 / rate)), edges)
    bank[:, -1] = 0
    return scipy.sparse.csr_array(bank.astype(np.float32))


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the weights (bins, points) of triangular bands at the frequencies `points`.

    edges: (bins + 2,). Band b is 0 at edges[b], rises to 1 at edges[b + 1], and falls to 0 at edges[b + 2].
    """
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise = (points - lower) / (centre - lower)
    fall = (upper - points) / (upper - centre)
    return np.maximum(0, np.minimum(rise, fall))


def _to_kaldi_mel(hz: Any) -> Any:
    """Convert Hz, a number or an array, to Kaldi's mel scale."""
    return 1127 * np.log1p(hz / 700)


def _to_slaney_mel(hz: float) -> float:
    """Convert Hz to Slaney's mel scale: linear up to 1 kHz (mel 15), then 27 mels per factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _from_slaney_mel(mel: np.ndarray) -> np.ndarray:
    """Convert Slaney's mel scale to Hz."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))
