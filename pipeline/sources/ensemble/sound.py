"""Synthesize the sound of the eight instruments of the synthetic ensemble.

Each instrument is a small physical model: a delay line for the plucked string, decaying modes for struck
instruments (string, membrane, bell), harmonics with an envelope for blown and bowed ones. The distributions
of pitch, tempo and loudness are the same for all, so only the timbre distinguishes them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

RATE = 22050  # samples per second
LOW, HIGH = 50, 72  # range of all instruments in MIDI pitches: 147 to 523 Hz
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


@dataclass(frozen=True, slots=True)
class Note:
    """One note. start, length: s. pitch: MIDI, with fractions. strength: 0..1."""

    start: float
    length: float
    pitch: float
    strength: float


def phrase(rng: np.random.Generator, seconds: float) -> list[Note]:
    """Return a random melody: a random walk on a random scale, in a random tempo, without gaps over 0.9 s."""
    scale = SCALES[rng.integers(len(SCALES))]
    root = LOW + rng.integers(12)
    pitches = [p for p in range(LOW, HIGH + 1) if (p - root) % 12 in scale]
    detune = rng.uniform(-0.4, 0.4)
    beat = rng.uniform(0.3, 0.6)
    step = int(rng.integers(len(pitches)))
    start = rng.uniform(0.02, 0.3)
    notes = []
    while start < seconds:
        gap = beat * rng.choice([0.75, 1.0, 1.0, 1.0, 1.5])
        step = int(np.clip(step + rng.integers(-3, 4), 0, len(pitches) - 1))
        strength = rng.uniform(0.55, 1.0)
        notes.append(Note(start, gap * rng.uniform(0.8, 0.98), pitches[step] + detune, strength))
        start += gap
    return notes


def sound(parts: list[tuple[str, list[Note]]], rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Return the recording of instruments in a room: float32 (samples,) at RATE, within -1..1.

    parts: AudioSet's name and the notes of each instrument. All are equally loud; the loudness of the sum is
    random, from the same distribution for all instruments.
    """
    size = round(seconds * RATE)
    dry = np.zeros(size)
    for name, notes in parts:
        dry += _normalize(_play(name, notes, rng, size))
    wet = _room(dry, rng)
    noise = _background(rng, size) * 10 ** (rng.uniform(-32, -18) / 20)
    gain = 10 ** (
        rng.uniform(-32, -20) / 20
    )  # RMS of -32 to -20 dB of full scale: a drum's peaks need headroom
    return np.tanh(gain * _normalize(_normalize(wet) + noise)).astype(np.float32)


def _normalize(x: np.ndarray) -> np.ndarray:
    """Scale `x` to an RMS of 1."""
    return x / (np.sqrt(np.mean(x**2)) + 1e-12)


def _play(name: str, notes: list[Note], rng: np.random.Generator, size: int) -> np.ndarray:
    instrument = INSTRUMENTS[name](rng)
    out = np.zeros(size)
    for note in notes:
        first = round(note.start * RATE)
        tone = instrument(note)[: max(size - first, 0)]
        out[first : first + len(tone)] += note.strength * tone
    return out


def _room(dry: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add reverberation, dull noise that decays by 60 dB in 0.15 to 0.7 s, and a random tone control."""
    decay, wet = rng.uniform(0.15, 0.7), rng.uniform(0.05, 0.35)
    t = np.arange(round(decay * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)
    tail = lfilter([0.35], [1, -0.65], tail)
    tail *= wet / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    colour = rng.uniform(-0.25, 0.25)  # of the microphone: a little dull or bright
    return lfilter([1, colour], [1], fftconvolve(dry, tail)[: len(dry)])


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return noise between white and brown, with an RMS of 1."""
    pole = rng.uniform(0, 0.97)
    return _normalize(lfilter([1], [1, -pole], rng.standard_normal(size)))


def _hertz(note: Note) -> float:
    return 440.0 * 2 ** ((note.pitch - 69) / 12)


def _time(seconds: float) -> np.ndarray:
    """Return the times of the samples, s."""
    return np.arange(max(round(seconds * RATE), 64)) / RATE


def _ramp(t: np.ndarray, length: float, attack: float, release: float) -> np.ndarray:
    """Return an envelope that rises in `attack`, holds, and falls in `release` after `length` (all s)."""
    up = np.clip(t / attack, 0, 1)
    down = np.clip((length + release - t) / release, 0, 1)
    return np.sin(np.pi / 2 * up) ** 2 * np.sin(np.pi / 2 * down) ** 2


def _band(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return sosfilt(butter(2, [low, high], "bandpass", fs=RATE, output="sos"), x)


def _modes(drive: np.ndarray, hertz: np.ndarray, gains: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Return the response to `drive` of a body with modes (Hz, gain, decay in seconds for 60 dB)."""
    out = np.zeros_like(drive)
    for f, gain, decay in zip(hertz, gains, decays, strict=True):
        if f < 0.45 * RATE:
            r, w = 10 ** (-3 / (decay * RATE)), 2 * np.pi * f / RATE
            out += gain * lfilter([0, np.sin(w)], [1, -2 * r * np.cos(w), r * r], drive)
    return out


def _harmonics(hertz: np.ndarray, gains: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
    """Sum the harmonics of the varying pitch `hertz` (samples,). tilt: (samples,), from each one to the next.

    sin(n x) is computed from the two previous harmonics (Chebyshev): a product is much cheaper than a sine.
    """
    x = 2 * np.pi * np.cumsum(hertz) / RATE
    previous, current, factor = np.zeros_like(x), np.sin(x), 2 * np.cos(x)
    level: float | np.ndarray = 1.0
    out = np.zeros_like(x)
    for n, gain in enumerate(gains, 1):
        if n * hertz.max() > 0.45 * RATE:
            break
        out += gain * level * current
        previous, current = current, factor * current - previous
        level = level if tilt is None else level * tilt
    return out


def _formants(n: np.ndarray, hertz: float, peaks: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the gains of the harmonics `n` of `hertz`. peaks: resonances (Hz, width in octaves, gain)."""
    octave = np.log2(n * hertz)
    return 0.15 + sum(g * np.exp(-(((octave - np.log2(f)) / w) ** 2)) for f, w, g in peaks)


# A function below takes a generator, which varies the timbre, and returns a Tone, which plays a note.
Tone = Callable[[Note], np.ndarray]


def _acoustic_guitar(rng: np.random.Generator) -> Tone:
    """Return a plucked string: noise in a lossy delay line (Karplus and Strong, 1983)."""
    place, damp, ring = rng.uniform(0.1, 0.22), rng.uniform(0.03, 0.1), rng.uniform(1.4, 2.6)
    body = np.array([100.0, 205.0, 390.0]) * rng.uniform(0.92, 1.08)

    def tone(note: Note) -> np.ndarray:
        t = _time(1.3)
        period = RATE / _hertz(note)
        whole = int(period - 1)
        part = period - 1 - whole
        loop = np.convolve([damp, 1 - 2 * damp, damp], [1 - part, part]) * 10 ** (-3 * period / RATE / ring)
        pluck = np.zeros(len(t))
        pluck[: int(period)] = rng.uniform(-1, 1, int(period))
        pluck = lfilter([0.6], [1, -0.4 * (1.4 - note.strength)], pluck)  # soft notes are dull
        pick = max(int(place * period), 1)
        pluck[pick:] -= 0.9 * pluck[:-pick].copy()
        string = lfilter([1], np.concatenate([[1], np.zeros(whole - 1), -loop]), pluck)
        wood = _modes(pluck, body, np.array([0.06, 0.05, 0.03]), np.array([0.25, 0.2, 0.12]))
        return (string + wood) * np.clip((1.3 - t) / 0.1, 0, 1)

    return tone


def _piano(rng: np.random.Generator) -> Tone:
    """Return struck strings: stiff, so partial n is at n sqrt(1 + B n^2); a felt hammer; a knock."""
    stiff, ring, felt = rng.uniform(3e-4, 9e-4), rng.uniform(2.5, 5.0), rng.uniform(0.0012, 0.0022)
    pair = rng.uniform(0.0004, 0.0012)  # relative detuning of the two strings of a note

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.25)
        f = _hertz(note)
        n = np.arange(1, 15)
        hertz = f * n * np.sqrt(1 + stiff * n**2)
        gains = np.abs(np.sin(np.pi * n / 8.3)) / n**0.3
        decays = ring / (1 + 0.35 * n) * (260 / f) ** 0.5
        hammer = np.zeros(len(t))
        width = round(felt * RATE * (1.3 - 0.4 * note.strength))
        hammer[:width] = np.hanning(width + 2)[1:-1]
        strings = _modes(hammer, hertz, gains, decays) + 0.7 * _modes(
            hammer, hertz * (1 + pair), gains, decays * 0.5
        )
        knock = _band(rng.standard_normal(len(t)) * np.exp(-t / 0.012), 90, 500)
        return (strings / np.abs(strings).max() + 0.5 * knock) * np.clip((t[-1] - t) / 0.2, 0, 1)

    return tone


def _drum(rng: np.random.Generator) -> Tone:
    """Return a struck membrane: the modes of a round skin (zeros of Bessel functions), short, and a hiss."""
    ratios = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.6, 4.06])
    ring, wires = rng.uniform(0.22, 0.5), rng.uniform(0.15, 0.6)

    def tone(note: Note) -> np.ndarray:
        t = _time(0.7)
        gains = rng.uniform(0.4, 1, len(ratios)) / ratios**0.8
        strike = np.zeros(len(t))
        strike[:30] = np.hanning(32)[1:-1]
        skin = _modes(strike, _hertz(note) * ratios, gains, ring / ratios**0.6)
        hiss = _band(rng.standard_normal(len(t)) * np.exp(-t / 0.035), 900, 7000)
        return skin / np.abs(skin).max() + wires * hiss

    return tone


def _church_bell(rng: np.random.Generator) -> Tone:
    """Return a bell: inharmonic partials (hum, prime, minor third, fifth, nominal and higher)."""
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.43, 6.8, 8.2])
    gains = np.array([0.45, 0.6, 0.75, 0.3, 1.0, 0.4, 0.35, 0.5, 0.5, 0.4, 0.3, 0.22])
    ratios = ratios * (1 + rng.uniform(-0.012, 0.012, len(ratios)))
    gains = gains * rng.uniform(0.7, 1.3, len(gains))
    ring = rng.uniform(4, 8)

    def tone(note: Note) -> np.ndarray:
        t = _time(2.5)
        f = _hertz(note)
        strike = np.zeros(len(t))
        strike[:8] = np.hanning(10)[1:-1]
        metal = _modes(strike, f * ratios, gains, ring / ratios**0.8)
        beat = _modes(strike, f * ratios[:5] * 1.0035, 0.5 * gains[:5], ring / ratios[:5] ** 0.8)
        return (metal + beat) * np.clip((2.5 - t) / 0.5, 0, 1)

    return tone


def _electronic_organ(rng: np.random.Generator) -> Tone:
    """Return an organ: drawbars that add constant harmonics, a key click, a rotating speaker."""
    bars = np.zeros(16)
    bars[[0, 1, 2, 3, 5, 7]] = rng.uniform(0.35, 1, 6)  # harmonics of the 16-foot rank: 1, 2, 3, 4, 6, 8
    bars[[9, 11, 15]] = rng.uniform(0.1, 0.7, 3)
    speed, depth = rng.uniform(5.8, 7.2), rng.uniform(0.15, 0.35)

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.02)
        turn = np.sin(2 * np.pi * speed * (t + note.start))
        pipes = _harmonics(_hertz(note) * (1 + 0.003 * turn), bars) * (1 + depth * turn)
        click = _band(rng.standard_normal(len(t)) * np.exp(-t / 0.004), 1500, 6000)
        return (pipes / np.sqrt(np.sum(bars**2)) + 0.5 * click) * _ramp(t, note.length, 0.006, 0.015)

    return tone


def _cello(rng: np.random.Generator) -> Tone:
    """Return a bowed string: a sawtooth filtered by the body's resonances, with a slow attack and vibrato."""
    warm = rng.uniform(0.9, 1.1)
    body = [(230 * warm, 0.5, 1.0), (480 * warm, 0.4, 0.8), (1100 * warm, 0.45, 0.6), (2300 * warm, 0.4, 0.7)]
    rate, depth, bow = rng.uniform(5, 6.5), rng.uniform(0.007, 0.014), rng.uniform(0.03, 0.08)

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.1)
        f, n = _hertz(note), np.arange(1, 31)
        vibrato = np.sin(2 * np.pi * rate * t + 1) * np.clip((t - 0.05) / 0.15, 0, 1)
        wander = lfilter([0.004], [1, -0.996], rng.standard_normal(len(t)))  # a bow never moves evenly
        string = _harmonics(f * (1 + depth * vibrato + 0.01 * wander), _formants(n, f, body) / n**0.6)
        hair = _band(rng.standard_normal(len(t)), 1200, 6000)
        return (string * (1 + 0.2 * vibrato) + 4 * bow * hair) * _ramp(t, note.length, 0.11, 0.1)

    return tone


def _trumpet(rng: np.random.Generator) -> Tone:
    """Return a brass tone, which has more harmonics when it is louder, as in its attack (Risset, 1969)."""
    peak, open_, rate = rng.uniform(1100, 1500), rng.uniform(0.8, 0.9), rng.uniform(4.5, 6)

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.06)
        f, n = _hertz(note), np.arange(1, 26)
        blow = _ramp(t, note.length, 0.035, 0.06) * (0.93 + 0.3 * np.exp(-(((t - 0.05) / 0.03) ** 2)))
        blow *= 0.9 + 0.1 * note.strength
        late = np.clip((t - 0.2) / 0.2, 0, 1) * np.sin(2 * np.pi * rate * t)
        pitch = f * (1 - 0.03 * np.exp(-t / 0.018) + 0.004 * late)
        gains = 0.4 + _formants(n, f, [(peak, 0.8, 1.3), (2 * peak, 0.5, 0.6)])
        return _harmonics(pitch, gains, np.minimum(open_ * blow, 0.97)) * blow

    return tone


def _flute(rng: np.random.Generator) -> Tone:
    """Return a blown pipe: almost a pure tone, tremolo, and breath noise, strongest at the start."""
    gains = np.array([1.0, rng.uniform(0.12, 0.35), rng.uniform(0.04, 0.14), 0.03, 0.01])
    rate, depth, breath = rng.uniform(4.5, 5.8), rng.uniform(0.1, 0.22), rng.uniform(0.1, 0.22)

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.08)
        f = _hertz(note)
        swell = np.sin(2 * np.pi * rate * t) * np.clip(t / 0.2, 0, 1)
        pipe = _harmonics(f * (1 + 0.003 * swell), gains) * (1 + depth * swell)
        white = rng.standard_normal(len(t))
        air = _band(white, 1.6 * f, min(14 * f, 9000)) * (1 + 3 * np.exp(-t / 0.05))
        return (pipe + breath * air) * _ramp(t, note.length, 0.07, 0.07)

    return tone


INSTRUMENTS: dict[str, Callable[[np.random.Generator], Tone]] = {
    "Piano": _piano,
    "Acoustic guitar": _acoustic_guitar,
    "Drum": _drum,
    "Trumpet": _trumpet,
    "Flute": _flute,
    "Cello": _cello,
    "Electronic organ": _electronic_organ,
    "Church bell": _church_bell,
}
