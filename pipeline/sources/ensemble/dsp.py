"""Digital signal processing for the instruments of the synthetic ensemble: envelopes, filters, resonances."""

from functools import lru_cache

import numpy as np
from scipy.signal import butter, oaconvolve, sosfilt

RATE = 22050  # samples per second
NYQUIST_MARGIN = 0.45 * RATE  # Hz: higher partials are left out


def normalize(wave: np.ndarray) -> np.ndarray:
    """Scale `wave` to an RMS of 1. Silence stays silence."""
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-12)


def sample_times(seconds: float) -> np.ndarray:
    """Return the times (s) of the samples of a sound of `seconds` s, at least 64 of them: (time,)."""
    return np.arange(max(round(seconds * RATE), 64)) / RATE


def envelope(t: np.ndarray, length: float, attack: float, release: float) -> np.ndarray:
    """Return the loudness of a note at the times `t` (s): (time,) in 0..1.

    It rises in `attack` s, stays at 1 until `length` s, and falls to 0 in the `release` s after that.
    """
    rise = np.clip(t / attack, 0, 1)
    fall = np.clip((length + release - t) / release, 0, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def band_pass(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return `wave` (time,) without frequencies below `low` or above `high` (Hz)."""
    return sosfilt(_design_band_pass(low, high), wave)


@lru_cache
def _design_band_pass(low: float, high: float) -> np.ndarray:
    """Return the sections of a filter. Most instruments use the same one in each note."""
    return butter(2, [low, high], "bandpass", fs=RATE, output="sos")


def resonate(drive: np.ndarray, hertz: np.ndarray, gains: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Return how a body with several modes sounds if the force `drive` (time,) acts on it: (time,).

    hertz, gains, decays: (modes,), the frequency of each mode, its gain, and its decay by 60 dB in s.
    """
    is_audible = hertz < NYQUIST_MARGIN
    radii = 10 ** (-3 / (decays[is_audible] * RATE))
    poles = radii * np.exp(2j * np.pi * hertz[is_audible] / RATE)
    # The response of a mode to an impulse is r^(n-1) sin(w n), for the pole r exp(iw). Its power n is that of
    # the start of a block times that within the block: so a matrix product gives the sum of all modes. It is
    # small, and einsum computes it in one thread: workers are as many as cores.
    block = int(np.ceil(np.sqrt(len(drive))))
    starts = poles ** (block * np.arange(block)[:, None]) * (gains[is_audible] / radii)
    steps = poles ** np.arange(block)[:, None]
    response = np.einsum("bm,sm->bs", starts, steps).imag.ravel()[: len(drive)]
    return oaconvolve(np.trim_zeros(drive, "b"), response)[: len(drive)]


def delay_line(wave: np.ndarray, delay: int, loop: np.ndarray) -> np.ndarray:
    """Return (time,) samples: `wave` and its echoes, which go round a delay line through a filter.

    delay: samples, at least the taps of the filter. loop: its taps. The same as lfilter with a denominator of
    many zeros, in steps of `delay` samples.
    """
    string = np.concatenate([np.zeros(delay + len(loop)), wave])
    first = delay + len(loop)
    for start in range(first, len(string), delay):
        end = min(start + delay, len(string))
        for tap, gain in enumerate(loop):
            string[start:end] += gain * string[start - delay - tap : end - delay - tap]
    return string[first:]


def sum_harmonics(hertz: np.ndarray, gains: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
    """Return a tone (time,) with harmonics, whose frequency may vary.

    hertz: (time,). gains: of the harmonics 1, 2, ... tilt: (time,), a factor of the level from each harmonic
    to the next; None: 1.
    """
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    # Chebyshev: sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x). A product is much cheaper than a sine.
    previous, current, factor = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
    level: float | np.ndarray = 1.0
    wave = np.zeros_like(phase)
    for n, gain in enumerate(gains, 1):
        if n * hertz.max() > NYQUIST_MARGIN:
            break
        wave += gain * level * current
        previous, current = current, factor * current - previous
        level = level if tilt is None else level * tilt
    return wave


def formant_gains(n: np.ndarray, hertz: float, peaks: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the gains (harmonics,) that a body's resonances give to harmonics of a tone.

    n: (harmonics,), their numbers. hertz: of the tone. peaks: the resonances, (Hz, width in octaves, gain).
    """
    octaves = np.log2(n * hertz)
    gains = [gain * np.exp(-(((octaves - np.log2(f)) / width) ** 2)) for f, width, gain in peaks]
    return 0.15 + sum(gains)
