"""Features of sound with librosa: those of scipy_features (`audio.backend: librosa`), and further ones.

librosa is imported where it is used: that takes seconds, with its compiler numba. Sound is in double
precision, in which the Fourier transform keeps what is 80 dB below a loud tone.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.media.features.filter_banks import kaldi_bank, log_bank
from pipeline.media.features.scipy_features import (
    KALDI_EPSILON,
    KALDI_PREEMPHASIS,
    LOG_FLOOR,
    POWER_FLOOR,
)

PCEN_SCALE = 2**31  # librosa's PCEN expects sound in the range of 32-bit integers
MAX_FLOAT16 = 65_504.0


def _stft(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the complex STFT (1 + n_fft // 2, time)."""
    import librosa

    return librosa.stft(
        sound.astype(np.float64), n_fft=audio.n_fft, hop_length=audio.hop_length, win_length=audio.win_length
    )


def _mel_spectrogram(sound: np.ndarray, audio: Any, power: float = 2.0) -> np.ndarray:
    """Return the mel spectrogram (n_mels, time) of the magnitude to the power of `power`."""
    import librosa

    return librosa.feature.melspectrogram(
        S=np.abs(_stft(sound, audio)) ** power,
        sr=audio.sample_rate,
        n_fft=audio.n_fft,
        n_mels=audio.n_mels,
        fmin=audio.fmin,
        fmax=audio.fmax,
    )


def _decibels(power: np.ndarray) -> np.ndarray:
    """Convert power to decibels, at least -100 dB."""
    import librosa

    return librosa.power_to_db(power, ref=1.0, amin=POWER_FLOOR, top_db=None)


# --- the features of scipy_features, in its units ---------------------------------------------------------


def _mel(sound: np.ndarray, audio: Any) -> np.ndarray:
    return _decibels(_mel_spectrogram(sound, audio))[None]


def _complex_parts(sound: np.ndarray, audio: Any) -> np.ndarray:
    spectrum = _stft(sound, audio)
    return np.stack([spectrum.real, spectrum.imag])


def _log_spectrogram(sound: np.ndarray, audio: Any) -> np.ndarray:
    return np.log(np.abs(_stft(sound, audio)) + LOG_FLOOR)[None]


def _log_frequency(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return `log_frequency`. librosa has no such filter bank: it is that of scipy_features."""
    bank = log_bank(audio.sample_rate, audio.n_fft, audio.n_mels, audio.fmin, audio.fmax)
    return _decibels(bank @ np.abs(_stft(sound, audio)) ** 2)[None]


def _fbank(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return `fbank`. librosa has no triangles on Kaldi's scale: the bank is that of scipy_features."""
    import librosa
    from librosa.effects import preemphasis
    from librosa.filters import get_window

    length = audio.win_length
    size = 1 << (length - 1).bit_length()
    frames = np.zeros((length, 0))
    if len(sound) >= length:
        frames = librosa.util.frame(
            sound.astype(np.float64), frame_length=length, hop_length=audio.hop_length
        )
    frames = frames - frames.mean(axis=0)
    # Kaldi takes the first sample of a frame for the one before it.
    before = -KALDI_PREEMPHASIS * frames[:1]
    frames = preemphasis(frames.T, coef=KALDI_PREEMPHASIS, zi=before.T).T
    window = get_window("hann", length, fftbins=False)
    power = np.abs(np.fft.rfft(frames * window[:, None], n=size, axis=0)) ** 2
    bank = kaldi_bank(audio.sample_rate, size, audio.n_mels)
    return np.log(np.maximum(bank @ power, KALDI_EPSILON))[None]


# --- the features that only librosa has -------------------------------------------------------------------


def _mfcc(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return mel-frequency cepstral coefficients (1, n_mfcc, time): the DCT of `mel`."""
    import librosa

    return librosa.feature.mfcc(S=_decibels(_mel_spectrogram(sound, audio)), n_mfcc=audio.n_mfcc)[None]


def _cqt(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the magnitude of the constant-Q transform in dB, at least -100 dB, (1, n_bins, time)."""
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clip is shorter than a filter: it is padded
        spectrum = librosa.cqt(
            sound.astype(np.float64),
            sr=audio.sample_rate,
            hop_length=audio.hop_length,
            fmin=audio.fmin,
            n_bins=audio.n_bins,
            bins_per_octave=audio.bins_per_octave,
        )
    return _decibels(np.abs(spectrum) ** 2)[None]


def _pcen(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the mel spectrogram of magnitudes after per-channel energy normalization, (1, n_mels, time).

    Lostanlen et al., 2019: each band is divided by its recent level, which removes steady noise.
    """
    import librosa

    value = librosa.pcen(
        _mel_spectrogram(sound, audio, power=1.0) * PCEN_SCALE,
        sr=audio.sample_rate,
        hop_length=audio.hop_length,
        gain=audio.pcen_gain,
        bias=audio.pcen_bias,
        power=audio.pcen_power,
        time_constant=audio.pcen_time_constant,
    )
    return np.minimum(value, MAX_FLOAT16)[None]


def _chroma(sound: np.ndarray, audio: Any) -> np.ndarray:
    """Return the energy of the pitch classes, (1, n_chroma, time), 1 for the strongest in each column.

    The tuning is A = 440 Hz for all clips, and not estimated for each.
    """
    import librosa

    return librosa.feature.chroma_stft(
        S=np.abs(_stft(sound, audio)) ** 2,
        sr=audio.sample_rate,
        n_fft=audio.n_fft,
        hop_length=audio.hop_length,
        n_chroma=audio.n_chroma,
        tuning=0.0,
    )[None]


# audio.feature -> function that computes it from sound (time,) and the section `audio` of params.yaml.
SHARED: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "mel": _mel,
    "stft": _complex_parts,
    "log_spectrogram": _log_spectrogram,
    "log_frequency": _log_frequency,
    "fbank": _fbank,
}
OWN: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "mfcc": _mfcc,
    "cqt": _cqt,
    "pcen": _pcen,
    "chroma": _chroma,
}
