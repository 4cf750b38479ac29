"""Features of sound with NumPy and SciPy, in librosa's and Kaldi's conventions.

librosa itself is not used: its import takes longer than the computation of a shard.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from pipeline.media.features.filter_banks import kaldi_bank, log_bank, mel_bank

LOG_FLOOR = 1e-5  # log_spectrogram: log(magnitude + LOG_FLOOR)
POWER_FLOOR = 1e-10  # decibels of silence: -100
BLOCK = 64  # frames that are transformed at once
KALDI_EPSILON = 1.1920929e-07  # float32's, Kaldi's floor before the logarithm
KALDI_PREEMPHASIS = 0.97


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
