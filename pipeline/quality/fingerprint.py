"""The fingerprint of a sound: 32 bits for every 1/16 s, which loudness and encoders change little.

A bit says whether the difference between two neighbouring frequency bands rises or falls within a quarter
of a second. Levels are logarithms, above a floor that depends on the loudest band of the clip, so a quieter
copy has the same bits.

Source: Haitsma and Kalker, A Highly Robust Audio Fingerprinting System (ISMIR 2002), with longer steps.
"""

import functools

import numpy as np
import scipy.fft

STEPS_PER_SECOND = 16
LAG = 4  # steps between the two windows that a bit compares: they hardly overlap
BANDS = 33  # one more than a code has bits
MIN_FREQUENCY, MAX_FREQUENCY = 200.0, 3000.0  # Hz
LOW_RATE = 8000  # Hz: the sound is averaged to about this rate, which saves half of the time or more
MAX_NYQUIST_SHARE = 0.9  # of half of the sample rate, the highest frequency
FLOOR = 1e-5  # of the energy of the clip's loudest band
CODE_BYTES = 4
WINDOW_SECONDS = 0.256
BLOCK = 8  # windows that are transformed at a time


def count_codes(seconds: float) -> int:
    """Return how many codes a sound of this duration has; 0 if it is too short."""
    return max(0, int((seconds - WINDOW_SECONDS) * STEPS_PER_SECOND) + 1 - LAG)


def fingerprint(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the fingerprint of a sound, uint8 (codes, 4). samples: (time,) float32. rate: Hz.

    A silent sound has only zeros.
    """
    n_codes = count_codes(len(samples) / rate)
    if not n_codes:
        return np.zeros((0, CODE_BYTES), np.uint8)
    factor = max(1, rate // LOW_RATE)
    whole = samples[: len(samples) // factor * factor]
    low = sum((whole[i::factor] for i in range(1, factor)), start=whole[::factor]) / factor
    low_rate = rate / factor
    window = min(round(WINDOW_SECONDS * low_rate), len(low))
    starts = np.round(np.arange(n_codes + LAG) * (low_rate / STEPS_PER_SECOND)).astype(int)
    starts = np.minimum(starts, len(low) - window)
    windows = np.lib.stride_tricks.sliding_window_view(low, window)
    filters, last_bin = _band_filters(low_rate, window)
    energies = np.empty((len(starts), BANDS), np.float32)
    for i in range(0, len(starts), BLOCK):  # larger arrays cost more than what is computed with them
        spectrum = scipy.fft.rfft(windows[starts[i : i + BLOCK]] * _hann(window))[:, :last_bin]
        energies[i : i + BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ filters
    loudest = energies.max()
    if not loudest:
        return np.zeros((n_codes, CODE_BYTES), np.uint8)
    slopes = np.diff(np.log(energies + FLOOR * loudest), axis=1)
    return np.packbits(slopes[LAG:] > slopes[:-LAG], axis=1)


@functools.cache
def _hann(length: int) -> np.ndarray:
    return np.hanning(length).astype(np.float32)


@functools.cache
def _band_filters(rate: float, window: int) -> tuple[np.ndarray, int]:
    """Return a matrix (bins, bands) that sums the bins of each band, and the number of bins."""
    highest = min(MAX_FREQUENCY, MAX_NYQUIST_SHARE * rate / 2)
    edges = np.geomspace(min(MIN_FREQUENCY, highest / 2), highest, BANDS + 1)
    bins = np.arange(window // 2 + 1) * rate / window
    band = np.searchsorted(edges, bins, side="right") - 1
    last_bin = int(np.searchsorted(bins, highest))
    return np.eye(BANDS, dtype=np.float32)[np.clip(band[:last_bin], 0, BANDS - 1)] * (
        (band[:last_bin, None] >= 0).astype(np.float32)
    ), last_bin
