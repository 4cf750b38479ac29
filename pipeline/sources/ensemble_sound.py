"""How the eight instruments of the embedded ensemble sound.

Each instrument is a small physical model: a delay line for the plucked string, banks of decaying modes for
what is struck (string, membrane, bell), harmonics driven by an envelope for what is blown or bowed. Pitch
range, tempo and loudness are drawn from the same distributions for all, so only the timbre tells them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

RATE = 22050  # samples per second
LOW, HIGH = 50, 72  # MIDI pitches that every instrument plays between: 147 to 523 Hz
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


@dataclass(frozen=True, slots=True)
class Note:
    """One note: when it begins and how long it is held (s), its MIDI pitch, its strength in 0..1."""

    start: float
    length: float
    pitch: float
    strength: float


def phrase(rng: np.random.Generator, seconds: float) -> list[Note]:
    """A random melody: a walk on a random scale, in a random tempo, without a gap longer than 0.9 s."""
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
    """The recording of instruments playing together in a room: float32 (samples,) at RATE, within -1..1.

    `parts` are pairs of an AudioSet name and its notes; all are equally loud. The loudness of the whole is
    drawn at random, whatever plays.
    """
    size = round(seconds * RATE)
    dry = np.zeros(size)
    for name, notes in parts:
        dry += _unit(_play(name, notes, rng, size))
    wet = _room(dry, rng)
    noise = _background(rng, size) * 10 ** (rng.uniform(-32, -18) / 20)
    gain = 10 ** (rng.uniform(-32, -20) / 20)  # RMS in dB below full scale; leaves room for a drum's peaks
    return np.tanh(gain * _unit(_unit(wet) + noise)).astype(np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    """`x` with an RMS of 1."""
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
    """Reverberation: dull noise that decays by 60 dB in 0.15 to 0.7 s; then a random tone control."""
    decay, wet = rng.uniform(0.15, 0.7), rng.uniform(0.05, 0.35)
    t = np.arange(round(decay * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)
    tail = lfilter([0.35], [1, -0.65], tail)
    tail *= wet / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    colour = rng.uniform(-0.25, 0.25)  # a microphone that is a little dull or a little bright
    return lfilter([1, colour], [1], fftconvolve(dry, tail)[: len(dry)])


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise between white and brown, with an RMS of 1."""
    pole = rng.uniform(0, 0.97)
    return _unit(lfilter([1], [1, -pole], rng.standard_normal(size)))


def _hertz(note: Note) -> float:
    return 440.0 * 2 ** ((note.pitch - 69) / 12)


def _time(seconds: float) -> np.ndarray:
    return np.arange(max(round(seconds * RATE), 64)) / RATE


def _ramp(t: np.ndarray, length: float, attack: float, release: float) -> np.ndarray:
    """An envelope that rises over `attack`, holds, and falls over `release` after `length` (all s)."""
    up = np.clip(t / attack, 0, 1)
    down = np.clip((length + release - t) / release, 0, 1)
    return np.sin(np.pi / 2 * up) ** 2 * np.sin(np.pi / 2 * down) ** 2


def _band(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return sosfilt(butter(2, [low, high], "bandpass", fs=RATE, output="sos"), x)


def _modes(drive: np.ndarray, hertz: np.ndarray, gains: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """What a body with these modes (Hz, gain, seconds to fall by 60 dB) answers to `drive`."""
    out = np.zeros_like(drive)
    for f, gain, decay in zip(hertz, gains, decays, strict=True):
        if f < 0.45 * RATE:
            r, w = 10 ** (-3 / (decay * RATE)), 2 * np.pi * f / RATE
            out += gain * lfilter([0, np.sin(w)], [1, -2 * r * np.cos(w), r * r], drive)
    return out


def _harmonics(hertz: np.ndarray, gains: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
    """Harmonics of the changing pitch `hertz` (samples,), each next one times `tilt` (samples,).

    sin(n x) comes from the two before it (Chebyshev), which costs a product where a sine costs twenty.
    """
    x = 2 * np.pi * np.cumsum(hertz) / RATE
    before, now, twice = np.zeros_like(x), np.sin(x), 2 * np.cos(x)
    level: float | np.ndarray = 1.0
    out = np.zeros_like(x)
    for n, gain in enumerate(gains, 1):
        if n * hertz.max() > 0.45 * RATE:
            break
        out += gain * level * now
        before, now = now, twice * now - before
        level = level if tilt is None else level * tilt
    return out


def _formants(n: np.ndarray, hertz: float, peaks: list[tuple[float, float, float]]) -> np.ndarray:
    """Gain of harmonics `n` of `hertz` by resonances given as (Hz, octaves wide, gain)."""
    octave = np.log2(n * hertz)
    return 0.15 + sum(g * np.exp(-(((octave - np.log2(f)) / w) ** 2)) for f, w, g in peaks)


Tone = Callable[[Note], np.ndarray]


def _acoustic_guitar(rng: np.random.Generator) -> Tone:
    """A plucked string: noise in a lossy delay line (Karplus and Strong, 1983), plucked off the middle."""
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
        pluck = lfilter([0.6], [1, -0.4 * (1.4 - note.strength)], pluck)  # softer: duller
        pick = max(int(place * period), 1)
        pluck[pick:] -= 0.9 * pluck[:-pick].copy()
        string = lfilter([1], np.concatenate([[1], np.zeros(whole - 1), -loop]), pluck)
        wood = _modes(pluck, body, np.array([0.06, 0.05, 0.03]), np.array([0.25, 0.2, 0.12]))
        return (string + wood) * np.clip((1.3 - t) / 0.1, 0, 1)

    return tone


def _piano(rng: np.random.Generator) -> Tone:
    """Struck strings: stiff, so that partial n lies at n sqrt(1 + B n^2); a felt hammer; a knock."""
    stiff, ring, felt = rng.uniform(3e-4, 9e-4), rng.uniform(2.5, 5.0), rng.uniform(0.0012, 0.0022)
    pair = rng.uniform(0.0004, 0.0012)  # two strings a note, not quite in tune

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
    """A struck membrane: a round skin's modes (zeros of Bessel functions), short, and a hiss."""
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
    """A bell's own partials: hum, prime, minor third, fifth, nominal and higher, not harmonic."""
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
    """Sustained pipes: drawbars that add harmonics of equal steadiness, a key click, a rotating speaker."""
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
    """A bowed string: a sawtooth's harmonics through the body's resonances, slow to speak, with vibrato."""
    warm = rng.uniform(0.9, 1.1)
    body = [(230 * warm, 0.5, 1.0), (480 * warm, 0.4, 0.8), (1100 * warm, 0.45, 0.6), (2300 * warm, 0.4, 0.7)]
    rate, depth, bow = rng.uniform(5, 6.5), rng.uniform(0.007, 0.014), rng.uniform(0.03, 0.08)

    def tone(note: Note) -> np.ndarray:
        t = _time(note.length + 0.1)
        f, n = _hertz(note), np.arange(1, 31)
        vibrato = np.sin(2 * np.pi * rate * t + 1) * np.clip((t - 0.05) / 0.15, 0, 1)
        wander = lfilter([0.004], [1, -0.996], rng.standard_normal(len(t)))  # a bow never moves quite evenly
        string = _harmonics(f * (1 + depth * vibrato + 0.01 * wander), _formants(n, f, body) / n**0.6)
        hair = _band(rng.standard_normal(len(t)), 1200, 6000)
        return (string * (1 + 0.2 * vibrato) + 4 * bow * hair) * _ramp(t, note.length, 0.11, 0.1)

    return tone


def _trumpet(rng: np.random.Generator) -> Tone:
    """Brass: the harder it is blown the more harmonics, so the tone opens in the attack (Risset, 1969)."""
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
    """A blown pipe: nearly a pure tone, tremolo, and breath that hisses all along and most at the start."""
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
