"""Filter banks: they map a power spectrum to bins. Sparse float32: a product runs on one core only."""

import functools
from typing import Any

import numpy as np
import scipy.sparse

KALDI_LOW = 20.0  # Hz; the highest is half of the sample rate


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
