"""Synthesize the sound of the eight instruments of the synthetic ensemble.

Each instrument is a small physical model: a delay line for the plucked string, decaying modes for struck
instruments (string, membrane, bell), harmonics with an envelope for blown and bowed ones. The distributions
of pitch, tempo and loudness are the same for all, so only the timbre distinguishes them.

An instrument's function (such as `_piano`) takes a random generator, which varies the timbre, and returns a
function that plays one note: Note -> samples (time,) at RATE. Constants without a name are chosen by ear.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

RATE = 22050  # samples per second
LOW, HIGH = 50, 72  # range of all instruments in MIDI pitches: 147 to 523 Hz
NYQUIST_MARGIN = 0.45 * RATE  # Hz: higher partials are left out
# Semitones above the root: major, natural minor, and both pentatonic scales.
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


@dataclass(frozen=True, slots=True)
class Note:
    """One note. start, length: s. pitch: MIDI, with fractions. strength: 0..1."""

    start: float
    length: float
    pitch: float
    strength: float


def random_phrase(rng: np.random.Generator, seconds: float) -> list[Note]:
    """Return the notes of a random melody of `seconds` s, without gaps over 0.9 s.

    It is a random walk on a random scale, in a random tempo. The last note may end after `seconds`.
    """
    scale = SCALES[rng.integers(len(SCALES))]
    root = LOW + rng.integers(12)
    pitches = [pitch for pitch in range(LOW, HIGH + 1) if (pitch - root) % 12 in scale]
    detune = rng.uniform(-0.4, 0.4)  # semitones
    beat = rng.uniform(0.3, 0.6)  # s
    step = int(rng.integers(len(pitches)))  # of the scale
    start = rng.uniform(0.02, 0.3)
    notes = []
    while start < seconds:
        interval = beat * rng.choice([0.75, 1.0, 1.0, 1.0, 1.5])  # s to the next note
        step = int(np.clip(step + rng.integers(-3, 4), 0, len(pitches) - 1))
        strength = rng.uniform(0.55, 1.0)
        notes.append(Note(start, interval * rng.uniform(0.8, 0.98), pitches[step] + detune, strength))
        start += interval
    return notes


def synthesize(parts: list[tuple[str, list[Note]]], rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Return the recording of instruments in a room: float32 (time,) at RATE, within -1..1.

    parts: AudioSet's name and the notes of each instrument. All are equally loud; the loudness of the sum is
    random, from the same distribution for all instruments. Without instruments it is the noise of the room.
    """
    size = round(seconds * RATE)
    dry = np.zeros(size)
    for name, notes in parts:
        dry += _normalize(_play_notes(name, notes, rng, size))
    wet = _add_reverberation(dry, rng)
    noise = _background_noise(rng, size) * 10 ** (rng.uniform(-32, -18) / 20)
    gain = 10 ** (rng.uniform(-32, -20) / 20)  # RMS of -32 to -20 dB of full scale: peaks need headroom
    recording = _normalize(_normalize(wet) + noise) if parts else noise
    return np.tanh(gain * recording).astype(np.float32)


def _normalize(wave: np.ndarray) -> np.ndarray:
    """Scale `wave` to an RMS of 1. Silence stays silence."""
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-12)


def _play_notes(name: str, notes: list[Note], rng: np.random.Generator, size: int) -> np.ndarray:
    """Return (size,) samples of one instrument, a key of INSTRUMENTS, that plays `notes`."""
    play_note = INSTRUMENTS[name](rng)
    wave = np.zeros(size)
    for note in notes:
        first = round(note.start * RATE)
        tone = play_note(note)[: max(size - first, 0)]
        wave[first : first + len(tone)] += note.strength * tone
    return wave


def _add_reverberation(dry: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (time,) samples as a microphone in a random room records the sound `dry` (time,).

    The room's echo is dull noise that decays by 60 dB in 0.15 to 0.7 s.
    """
    decay, echo_level = rng.uniform(0.15, 0.7), rng.uniform(0.05, 0.35)
    t = np.arange(round(decay * RATE)) / RATE
    response = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)
    response = lfilter([0.35], [1, -0.65], response)
    response *= echo_level / np.sqrt(np.sum(response**2))
    response[0] += 1  # the direct sound
    treble = rng.uniform(-0.25, 0.25)  # of the microphone: a little bright or dull
    return lfilter([1, treble], [1], fftconvolve(dry, response)[: len(dry)])


def _background_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return (size,) samples of noise between white and brown, with an RMS of 1."""
    pole = rng.uniform(0, 0.97)
    return _normalize(lfilter([1], [1, -pole], rng.standard_normal(size)))


def _frequency(note: Note) -> float:
    """Return a note's frequency, Hz. The MIDI pitch 69 is 440 Hz."""
    return 440.0 * 2 ** ((note.pitch - 69) / 12)


def _sample_times(seconds: float) -> np.ndarray:
    """Return the times (s) of the samples of a sound of `seconds` s, at least 64 of them: (time,)."""
    return np.arange(max(round(seconds * RATE), 64)) / RATE


def _envelope(t: np.ndarray, length: float, attack: float, release: float) -> np.ndarray:
    """Return the loudness of a note at the times `t` (s): (time,) in 0..1.

    It rises in `attack` s, stays at 1 until `length` s, and falls to 0 in the `release` s after that.
    """
    rise = np.clip(t / attack, 0, 1)
    fall = np.clip((length + release - t) / release, 0, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def _band_pass(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return `wave` (time,) without frequencies below `low` or above `high` (Hz)."""
    return sosfilt(butter(2, [low, high], "bandpass", fs=RATE, output="sos"), wave)


def _resonate(drive: np.ndarray, hertz: np.ndarray, gains: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Return how a body with several modes sounds if the force `drive` (time,) acts on it: (time,).

    hertz, gains, decays: (modes,), the frequency of each mode, its gain, and its decay by 60 dB in s.
    """
    response = np.zeros_like(drive)
    for frequency, gain, decay in zip(hertz, gains, decays, strict=True):
        if frequency < NYQUIST_MARGIN:
            r, w = 10 ** (-3 / (decay * RATE)), 2 * np.pi * frequency / RATE  # radius and angle of the pole
            response += gain * lfilter([0, np.sin(w)], [1, -2 * r * np.cos(w), r * r], drive)
    return response


def _sum_harmonics(hertz: np.ndarray, gains: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
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


def _formant_gains(n: np.ndarray, hertz: float, peaks: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the gains (harmonics,) that a body's resonances give to harmonics of a tone.

    n: (harmonics,), their numbers. hertz: of the tone. peaks: the resonances, (Hz, width in octaves, gain).
    """
    octaves = np.log2(n * hertz)
    gains = [gain * np.exp(-(((octaves - np.log2(f)) / width) ** 2)) for f, width, gain in peaks]
    return 0.15 + sum(gains)


Tone = Callable[[Note], np.ndarray]  # plays one note: returns samples (time,) at RATE


def _acoustic_guitar(rng: np.random.Generator) -> Tone:
    """Return a plucked string: noise in a lossy delay line (Karplus and Strong, 1983)."""
    pluck_position = rng.uniform(0.1, 0.22)  # as a fraction of the string
    damping = rng.uniform(0.03, 0.1)  # of high frequencies
    decay = rng.uniform(1.4, 2.6)  # s for 60 dB
    body = np.array([100.0, 205.0, 390.0]) * rng.uniform(0.92, 1.08)  # resonances, Hz

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(1.3)
        period = RATE / _frequency(note)  # samples
        # The loop's filter adds a delay of 1 sample; the rest is split into whole samples and a fraction.
        whole = int(period - 1)
        fraction = period - 1 - whole
        loop = np.convolve([damping, 1 - 2 * damping, damping], [1 - fraction, fraction])
        loop *= 10 ** (-3 * period / RATE / decay)
        pluck = np.zeros(len(t))
        pluck[: int(period)] = rng.uniform(-1, 1, int(period))
        pluck = lfilter([0.6], [1, -0.4 * (1.4 - note.strength)], pluck)  # soft notes are dull
        delay = max(int(pluck_position * period), 1)
        pluck[delay:] -= 0.9 * pluck[:-delay].copy()  # weakens harmonics with a node where it is plucked
        string = lfilter([1], np.concatenate([[1], np.zeros(whole - 1), -loop]), pluck)
        wood = _resonate(pluck, body, np.array([0.06, 0.05, 0.03]), np.array([0.25, 0.2, 0.12]))
        return (string + wood) * np.clip((1.3 - t) / 0.1, 0, 1)

    return play_note


def _piano(rng: np.random.Generator) -> Tone:
    """Return struck strings: stiff, so partial n is at n sqrt(1 + B n^2); a felt hammer; a knock."""
    stiffness = rng.uniform(3e-4, 9e-4)  # B
    decay = rng.uniform(2.5, 5.0)  # s for 60 dB
    contact = rng.uniform(0.0012, 0.0022)  # s that the hammer touches the string
    detuning = rng.uniform(0.0004, 0.0012)  # relative, of the two strings of a note

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(note.length + 0.25)
        frequency = _frequency(note)
        n = np.arange(1, 15)
        partials = frequency * n * np.sqrt(1 + stiffness * n**2)
        gains = np.abs(np.sin(np.pi * n / 8.3)) / n**0.3  # the hammer hits at 1/8.3 of the string
        decays = decay / (1 + 0.35 * n) * (260 / frequency) ** 0.5
        hammer = np.zeros(len(t))
        width = round(contact * RATE * (1.3 - 0.4 * note.strength))
        hammer[:width] = np.hanning(width + 2)[1:-1]
        strings = _resonate(hammer, partials, gains, decays)
        strings = strings + 0.7 * _resonate(hammer, partials * (1 + detuning), gains, decays * 0.5)
        knock = _band_pass(rng.standard_normal(len(t)) * np.exp(-t / 0.012), 90, 500)
        return (strings / np.abs(strings).max() + 0.5 * knock) * np.clip((t[-1] - t) / 0.2, 0, 1)

    return play_note


def _drum(rng: np.random.Generator) -> Tone:
    """Return a struck membrane: the modes of a round skin (zeros of Bessel functions), short, and a hiss."""
    ratios = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.6, 4.06])  # to the lowest mode
    decay = rng.uniform(0.22, 0.5)  # s for 60 dB
    hiss_level = rng.uniform(0.15, 0.6)  # of the snare wires

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(0.7)
        gains = rng.uniform(0.4, 1, len(ratios)) / ratios**0.8
        strike = np.zeros(len(t))
        strike[:30] = np.hanning(32)[1:-1]
        skin = _resonate(strike, _frequency(note) * ratios, gains, decay / ratios**0.6)
        hiss = _band_pass(rng.standard_normal(len(t)) * np.exp(-t / 0.035), 900, 7000)
        return skin / np.abs(skin).max() + hiss_level * hiss

    return play_note


def _church_bell(rng: np.random.Generator) -> Tone:
    """Return a bell: inharmonic partials (hum, prime, minor third, fifth, nominal and higher)."""
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.43, 6.8, 8.2])  # to the prime
    gains = np.array([0.45, 0.6, 0.75, 0.3, 1.0, 0.4, 0.35, 0.5, 0.5, 0.4, 0.3, 0.22])
    ratios = ratios * (1 + rng.uniform(-0.012, 0.012, len(ratios)))
    gains = gains * rng.uniform(0.7, 1.3, len(gains))
    decay = rng.uniform(4, 8)  # s for 60 dB, of the prime

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(2.5)
        frequency = _frequency(note)
        strike = np.zeros(len(t))
        strike[:8] = np.hanning(10)[1:-1]
        metal = _resonate(strike, frequency * ratios, gains, decay / ratios**0.8)
        # No bell is perfectly round: its low partials are pairs, which beat.
        pairs = _resonate(strike, frequency * ratios[:5] * 1.0035, 0.5 * gains[:5], decay / ratios[:5] ** 0.8)
        return (metal + pairs) * np.clip((2.5 - t) / 0.5, 0, 1)

    return play_note


def _electronic_organ(rng: np.random.Generator) -> Tone:
    """Return an organ: drawbars that add constant harmonics, a key click, a rotating speaker."""
    drawbars = np.zeros(16)
    drawbars[[0, 1, 2, 3, 5, 7]] = rng.uniform(0.35, 1, 6)  # harmonics of the 16-foot rank: 1, 2, 3, 4, 6, 8
    drawbars[[9, 11, 15]] = rng.uniform(0.1, 0.7, 3)
    turns_per_second, depth = rng.uniform(5.8, 7.2), rng.uniform(0.15, 0.35)  # of the speaker

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(note.length + 0.02)
        rotation = np.sin(2 * np.pi * turns_per_second * (t + note.start))
        pipes = _sum_harmonics(_frequency(note) * (1 + 0.003 * rotation), drawbars) * (1 + depth * rotation)
        click = _band_pass(rng.standard_normal(len(t)) * np.exp(-t / 0.004), 1500, 6000)
        wave = pipes / np.sqrt(np.sum(drawbars**2)) + 0.5 * click
        return wave * _envelope(t, note.length, attack=0.006, release=0.015)

    return play_note


def _cello(rng: np.random.Generator) -> Tone:
    """Return a bowed string: a sawtooth filtered by the body's resonances, with a slow attack and vibrato."""
    size = rng.uniform(0.9, 1.1)  # scales the resonances of the body
    body = [(230 * size, 0.5, 1.0), (480 * size, 0.4, 0.8), (1100 * size, 0.45, 0.6), (2300 * size, 0.4, 0.7)]
    vibrato_rate, vibrato_depth = rng.uniform(5, 6.5), rng.uniform(0.007, 0.014)  # Hz, relative
    hiss_level = rng.uniform(0.03, 0.08)  # of the bow's hair

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(note.length + 0.1)
        frequency, n = _frequency(note), np.arange(1, 31)
        vibrato = np.sin(2 * np.pi * vibrato_rate * t + 1) * np.clip((t - 0.05) / 0.15, 0, 1)
        wander = lfilter([0.004], [1, -0.996], rng.standard_normal(len(t)))  # a bow never moves evenly
        pitch = frequency * (1 + vibrato_depth * vibrato + 0.01 * wander)
        string = _sum_harmonics(pitch, _formant_gains(n, frequency, body) / n**0.6)
        hiss = _band_pass(rng.standard_normal(len(t)), 1200, 6000)
        wave = string * (1 + 0.2 * vibrato) + 4 * hiss_level * hiss
        return wave * _envelope(t, note.length, attack=0.11, release=0.1)

    return play_note


def _trumpet(rng: np.random.Generator) -> Tone:
    """Return a brass tone, which has more harmonics when it is louder, as in its attack (Risset, 1969)."""
    formant = rng.uniform(1100, 1500)  # Hz
    brightness = rng.uniform(0.8, 0.9)  # the level of each harmonic relative to the one before
    vibrato_rate = rng.uniform(4.5, 6)  # Hz

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(note.length + 0.06)
        frequency, n = _frequency(note), np.arange(1, 26)
        accent = 0.93 + 0.3 * np.exp(-(((t - 0.05) / 0.03) ** 2))
        loudness = _envelope(t, note.length, attack=0.035, release=0.06) * accent
        loudness *= 0.9 + 0.1 * note.strength
        vibrato = np.clip((t - 0.2) / 0.2, 0, 1) * np.sin(2 * np.pi * vibrato_rate * t)
        pitch = frequency * (1 - 0.03 * np.exp(-t / 0.018) + 0.004 * vibrato)  # begins a little too low
        gains = 0.4 + _formant_gains(n, frequency, [(formant, 0.8, 1.3), (2 * formant, 0.5, 0.6)])
        return _sum_harmonics(pitch, gains, np.minimum(brightness * loudness, 0.97)) * loudness

    return play_note


def _flute(rng: np.random.Generator) -> Tone:
    """Return a blown pipe: almost a pure tone, tremolo, and breath noise, strongest at the start."""
    gains = np.array([1.0, rng.uniform(0.12, 0.35), rng.uniform(0.04, 0.14), 0.03, 0.01])
    tremolo_rate, tremolo_depth = rng.uniform(4.5, 5.8), rng.uniform(0.1, 0.22)  # Hz, relative
    breath_level = rng.uniform(0.1, 0.22)

    def play_note(note: Note) -> np.ndarray:
        t = _sample_times(note.length + 0.08)
        frequency = _frequency(note)
        tremolo = np.sin(2 * np.pi * tremolo_rate * t) * np.clip(t / 0.2, 0, 1)
        pipe = _sum_harmonics(frequency * (1 + 0.003 * tremolo), gains) * (1 + tremolo_depth * tremolo)
        noise = _band_pass(rng.standard_normal(len(t)), 1.6 * frequency, min(14 * frequency, 9000))
        breath = noise * (1 + 3 * np.exp(-t / 0.05))
        return (pipe + breath_level * breath) * _envelope(t, note.length, attack=0.07, release=0.07)

    return play_note


# AudioSet's display name -> function that returns the instrument.
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
