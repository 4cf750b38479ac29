"""Synthesize the voices of the synthetic people, which say nonsense syllables.

A source-filter synthesizer after Klatt (1980): glottal pulses of a varying pitch pass four resonators in
series; fricatives and stops are filtered noise. The formants of the vowels are those of Peterson and Barney
(1952).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter, sosfilt


class Vowel(NamedTuple):
    """A vowel. formants: Hz. opening: of the mouth, 0..1. width: of the mouth, -1..1, 0 at rest."""

    formants: tuple[float, float, float]
    opening: float
    width: float


class Consonant(NamedTuple):
    """A consonant. kind: a key of LOUDNESS. seconds: length. hertz: centre of its noise; 0: without noise."""

    kind: str
    seconds: float
    hertz: float


RATE = 22_050  # Hz; one of the few rates that FLV allows for MP3
BLOCK = 110  # samples between updates of the filters: 5 ms
VOWELS = {
    "a": Vowel((730, 1090, 2440), 1.0, 0.1),
    "e": Vowel((530, 1840, 2480), 0.65, 0.35),
    "i": Vowel((270, 2290, 3010), 0.35, 0.5),
    "o": Vowel((570, 840, 2410), 0.75, -0.4),
    "u": Vowel((300, 870, 2240), 0.35, -0.6),
    "y": Vowel((490, 1350, 1690), 0.5, 0.0),
}
CONSONANTS = {
    "b": Consonant("stop", 0.05, 900),
    "d": Consonant("stop", 0.05, 3200),
    "g": Consonant("stop", 0.055, 1900),
    "k": Consonant("stop", 0.07, 2000),
    "t": Consonant("stop", 0.06, 4000),
    "s": Consonant("hiss", 0.09, 5200),
    "f": Consonant("hiss", 0.07, 3800),
    "m": Consonant("nasal", 0.07, 0),
    "n": Consonant("nasal", 0.06, 0),
    "l": Consonant("glide", 0.05, 0),
}
LOUDNESS = {"stop": 0.05, "hiss": 0.0, "nasal": 0.35, "glide": 0.6}  # of the voice in consonants; vowels: 1
NASAL_FORMANTS = (280.0, 1100.0, 2300.0)  # Hz
FOURTH_FORMANT = 3600.0  # Hz, the same for all sounds
LABIALS = "bmf"  # spoken with closed lips
SENTENCES = {  # the keys are those of CREMA-D's sentences
    "IEO": "ba di lu ne",
    "TIE": "tu ga mi so la",
    "IOM": "ki le ba nu ty",
    "IWW": "so fi da mu",
    "TAI": "ne go ta li bu",
    "MTI": "ma te ki lo ny",
    "IWL": "fu la gi de so",
    "ITH": "li bo se ka my",
    "DFA": "da nu fe ti",
    "ITS": "gy sa lo bi tu",
    "TSI": "te mu la si",
    "WSI": "bo ki na fu le",
}


@dataclass(frozen=True)
class Voice:
    """A person's voice."""

    pitch: float  # Hz
    tract: tuple[float, float, float]  # factors of the three formants, due to the size of the vocal tract
    breath: float  # loudness of breath noise
    jitter: float  # random variation of the glottal periods, relative
    pace: float  # syllables a second
    tilt: float  # dB an octave by which the source falls off beyond 6
    fall: float  # of the pitch over a sentence, in octaves


@dataclass(frozen=True)
class Manner:
    """The changes of a voice by an emotion at full strength. 0: no change."""

    pitch: float = 0.0  # octaves
    pitch_range: float = 0.0  # rise of the pitch within each syllable, before it falls back; octaves
    pitch_drift: float = 0.0  # of the pitch over the sentence, octaves
    pace: float = 0.0  # relative
    loudness: float = 0.0  # dB
    tilt: float = 0.0  # added to Voice.tilt
    breath: float = 0.0  # added to Voice.breath
    tremor: float = 0.0  # amplitude of a vibration of the pitch, octaves
    creak: float = 0.0  # added to Voice.jitter
    smile: float = 0.0  # raises the formants, relative


MANNERS = {
    "ANG": Manner(pitch=0.22, pitch_range=-0.35, pace=0.15, loudness=5, tilt=-3.5),
    "DIS": Manner(
        pitch=-0.10, pitch_range=-0.15, pitch_drift=-0.15, pace=-0.2, loudness=-1, creak=0.06, smile=-0.06
    ),
    "FEA": Manner(
        pitch=0.35, pitch_range=0.05, pitch_drift=0.12, pace=0.2, loudness=-2, breath=0.25, tremor=0.07
    ),
    "HAP": Manner(
        pitch=0.28, pitch_range=0.40, pitch_drift=0.05, pace=0.08, loudness=3, tilt=-1.5, smile=0.07
    ),
    "NEU": Manner(),
    "SAD": Manner(
        pitch=-0.12, pitch_range=-0.04, pitch_drift=-0.28, pace=-0.28, loudness=-5, tilt=3.5, breath=0.18
    ),
}


@dataclass(frozen=True)
class Speech:
    """A spoken sentence, and the mouth that speaks it, at each sample."""

    wave: np.ndarray  # (time,) float32 in -1..1, at RATE Hz
    opening: np.ndarray  # (time,) of the mouth: 0 closed, 1 wide open
    width: np.ndarray  # (time,) of the mouth: -1 narrow, 0 at rest, 1 wide


@dataclass(frozen=True)
class _Span:
    """A part of a sentence: a consonant, a vowel or silence."""

    seconds: float
    kind: str  # of the consonant, `vowel` or `silence`
    hertz: float  # centre of the noise of a consonant; 0: no noise
    loudness: float  # of the voice, 0..1
    formants: tuple[float, float, float]  # Hz
    opening: float  # of the mouth, 0..1
    width: float  # of the mouth, -1..1
    syllable: int  # 1: the first; 0: silence


@dataclass(frozen=True)
class _Tracks:
    """What controls sound and mouth, at each sample of a sentence."""

    loudness: np.ndarray  # (time,) of the voice, 0..1
    formants: np.ndarray  # (time, 3), Hz
    opening: np.ndarray  # (time,) of the mouth
    width: np.ndarray  # (time,) of the mouth
    syllable: np.ndarray  # (time,) int: 0 for silence, else 1, 2, ...
    noise: np.ndarray  # (time,) the sound of stops and fricatives


def speak(voice: Voice, sentence: str, emotion: str, strength: float, rng: np.random.Generator) -> Speech:
    """Speak a sentence (a key of SENTENCES) in an emotion, with random loudness, pitch and pace.

    emotion: a key of MANNERS. strength: of the emotion, 0..1.
    """
    manner = MANNERS[emotion]
    tract = np.array(voice.tract) * (1 + strength * manner.smile) * rng.uniform(0.985, 1.015)
    pace = voice.pace * (1 + strength * manner.pace) * rng.uniform(0.93, 1.07)
    tracks = _make_tracks(SENTENCES[sentence].split(), 1 / pace, rng)
    n = tracks.loudness.size
    pitch = _make_pitch(voice, manner, strength, tracks.syllable, rng)
    breath = voice.breath + strength * manner.breath
    jitter = voice.jitter + strength * manner.creak
    source = _glottal_pulses(pitch, jitter, rng) + breath * _noise(n, rng) * 0.5
    # A one-pole low-pass filter sets the spectral tilt.
    pole = np.clip(0.25 + 0.05 * (voice.tilt + strength * manner.tilt), 0.0, 0.75)
    source = lfilter([1 - pole], [1, -pole], source) * tracks.loudness
    wave = _filter_formants(source, tracks.formants * tract)
    wave = wave / (np.abs(wave).max() + 1e-9) + 0.5 * tracks.noise
    level = 0.14 * 10 ** ((strength * manner.loudness + rng.uniform(-9, 9)) / 20)
    room_noise = 10 ** rng.uniform(-3.2, -2.2) * _noise(n, rng)
    rms = np.sqrt(np.mean(wave**2)) + 1e-9
    wave = np.clip(wave * level / rms * 0.6 + room_noise, -1, 1)
    return Speech(wave.astype(np.float32), tracks.opening, tracks.width)


def _make_tracks(syllables: list[str], length: float, rng: np.random.Generator) -> _Tracks:
    """Return what controls sound and mouth in silence, these syllables, and silence.

    syllables: each a consonant and a vowel. length: of a syllable, s.
    """
    spans = _make_spans(syllables, length, rng)
    sizes = [round(span.seconds * RATE / BLOCK) * BLOCK for span in spans]  # samples

    def smooth_track(values: list, seconds: float) -> np.ndarray:
        """Return (time, ...): the value of each span, with smooth changes that take about `seconds` s."""
        return _smooth(np.repeat(values, sizes, axis=0).astype(float), seconds)

    noise = np.zeros(sum(sizes))
    for span, start, size in zip(spans, np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        if span.kind in ("stop", "hiss"):
            is_hiss = span.kind == "hiss"
            burst_size = size if is_hiss else size // 3  # a stop is silent first, then bursts
            burst = _resonate(_noise(burst_size, rng), span.hertz) * np.hanning(burst_size + 2)[1:-1]
            noise[start + size - burst_size : start + size] = burst * (0.5 if is_hiss else 0.8)
    return _Tracks(
        loudness=smooth_track([span.loudness for span in spans], 0.02),
        formants=smooth_track([span.formants for span in spans], 0.035),
        opening=smooth_track([span.opening for span in spans], 0.045),
        width=smooth_track([span.width for span in spans], 0.06),
        syllable=np.repeat([span.syllable for span in spans], sizes),
        noise=noise,
    )


def _make_spans(syllables: list[str], length: float, rng: np.random.Generator) -> list[_Span]:
    """Return the parts of a sentence: silence, a consonant and a vowel for each syllable, silence.

    length: of a syllable, s; each varies at random, and the last one is longer.
    """
    spans = [_silence(rng.uniform(0.12, 0.3))]
    for number, syllable in enumerate(syllables, 1):
        consonant, vowel = CONSONANTS[syllable[0]], VOWELS[syllable[1]]
        spans.append(
            _Span(
                seconds=consonant.seconds * rng.uniform(0.85, 1.2),
                kind=consonant.kind,
                hertz=consonant.hertz,
                loudness=LOUDNESS[consonant.kind],
                formants=NASAL_FORMANTS if consonant.kind == "nasal" else vowel.formants,
                opening=0.0 if syllable[0] in LABIALS else 0.15,
                width=vowel.width,
                syllable=number,
            )
        )
        variation = 1.35 if number == len(syllables) else rng.uniform(0.85, 1.15)
        seconds = max(length - consonant.seconds, 0.08) * variation
        spans.append(_Span(seconds, "vowel", 0.0, 1.0, vowel.formants, vowel.opening, vowel.width, number))
    spans.append(_silence(rng.uniform(0.15, 0.35)))
    return spans


def _silence(seconds: float) -> _Span:
    """Return a part without sound, with the mouth closed."""
    return _Span(seconds, "silence", 0.0, 0.0, VOWELS["y"].formants, 0.0, 0.0, 0)


def _make_pitch(
    voice: Voice, manner: Manner, strength: float, syllable: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the pitch at each sample, (time,) in Hz.

    strength: of the emotion, 0..1. syllable: (time,), the number of the syllable, 0 for silence.
    """
    n = len(syllable)
    octaves = np.log2(voice.pitch) + strength * manner.pitch + rng.uniform(-0.25, 0.25)
    octaves = octaves + np.linspace(0.5, -0.5, n) * (voice.fall - strength * manner.pitch_drift * 2)
    for number in range(1, syllable.max() + 1):
        samples = np.flatnonzero(syllable == number)
        rise = np.sin(np.linspace(0, np.pi, len(samples))) * (0.06 + strength * manner.pitch_range)
        octaves[samples] = octaves[samples] + rise * rng.uniform(0.6, 1.3)
    wander = _smooth(rng.normal(size=n // BLOCK + 1), 0.05 / BLOCK).repeat(BLOCK)[:n]  # slow and random
    t = np.arange(n) / RATE
    tremor = strength * manner.tremor * np.sin(2 * np.pi * rng.uniform(6, 8) * t + rng.uniform(0, 6))
    return 2 ** (_smooth(octaves, 0.04) + 0.02 * wander + tremor)


def _glottal_pulses(pitch: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Return the sound of the vocal cords, (time,): the derivative of the flow of air through them.

    pitch: (time,), Hz. jitter: random variation of the length and the strength of each period, relative.
    """
    phase = np.cumsum(pitch / RATE)  # in periods
    period = phase.astype(int)  # (time,): the number of the period
    length_variation = 1 + jitter * rng.normal(size=period[-1] + 2)
    x = np.clip((phase - period) * length_variation[period], 0, 1)  # position within the period
    # The flow rises until 0.6, falls faster, and ends abruptly at 0.85.
    flow = np.where(x < 0.6, np.sin(np.pi * x / 1.2) ** 2, np.cos(np.pi * (x - 0.6) / 0.5) ** 2)
    strength_variation = 1 + 0.5 * jitter * rng.normal(size=len(length_variation))
    flow = np.where(x > 0.85, 0, flow) * strength_variation[period]
    return np.diff(flow, prepend=flow[0]) * 12


def _filter_formants(source: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Return `source` (time,) after four resonators in series: three formants and a constant fourth one.

    hertz: (time, 3), the frequencies of the formants. They are updated every BLOCK samples.
    """
    filtered, state = np.empty_like(source), np.zeros((4, 2))
    bandwidths = np.array([70.0, 90.0, 130.0, 220.0])  # Hz
    radius = np.exp(-np.pi * bandwidths / RATE)  # of the poles
    for start in range(0, len(source), BLOCK):
        frequencies = np.append(hertz[start], FOURTH_FORMANT).clip(80, 0.47 * RATE)
        # Klatt's resonator: y[t] = (1 - b - c) x[t] + b y[t - 1] + c y[t - 2].
        b, c = 2 * radius * np.cos(2 * np.pi * frequencies / RATE), -(radius**2)
        sections = np.zeros((4, 6))  # SciPy's second-order sections: b0, b1, b2, a0, a1, a2
        sections[:, 0], sections[:, 3] = 1 - b - c, 1
        sections[:, 4], sections[:, 5] = -b, -c
        block = slice(start, start + BLOCK)
        filtered[block], state = sosfilt(sections, source[block], zi=state)
    return filtered


def _resonate(wave: np.ndarray, hertz: float) -> np.ndarray:
    """Return `wave` (time,) after a resonator at `hertz` Hz with a bandwidth of 1200 Hz."""
    radius = np.exp(-np.pi * 1200 / RATE)
    return lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], wave) * 2


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` samples of white noise, with an RMS of 0.3."""
    return rng.normal(size=n) * 0.3


def _smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    """Return `values` (time, ...) after a low-pass filter with a time constant of `seconds` s.

    It is applied forwards and backwards, so that there is no delay. The ends keep their values.
    """
    pole = np.exp(-1 / max(seconds * RATE, 1e-3))
    for _ in range(2):
        state = values[:1] * pole
        values = lfilter([1 - pole], [1, -pole], values, axis=0, zi=state)[0][::-1]
    return values
