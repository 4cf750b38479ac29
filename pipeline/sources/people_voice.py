"""The embedded people's voices: nonsense syllables, by a glottal source and formants that move.

A source-filter synthesizer in the manner of Klatt (1980): pulses of a pitch that wanders, through four
resonators in a row, noise for what hisses. Vowels have the formants of Peterson and Barney (1952).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, sosfilt

RATE = 22_050  # FLV takes no MP3 of others
BLOCK = 110  # samples between changes of the filters: 5 ms
VOWELS = {  # formants in Hz; how far the mouth opens, how wide it is
    "a": ((730, 1090, 2440), 1.0, 0.1),
    "e": ((530, 1840, 2480), 0.65, 0.35),
    "i": ((270, 2290, 3010), 0.35, 0.5),
    "o": ((570, 840, 2410), 0.75, -0.4),
    "u": ((300, 870, 2240), 0.35, -0.6),
    "y": ((490, 1350, 1690), 0.5, 0.0),
}
CONSONANTS = {  # kind, its length in s, where its noise lies in Hz
    "b": ("stop", 0.05, 900),
    "d": ("stop", 0.05, 3200),
    "g": ("stop", 0.055, 1900),
    "k": ("stop", 0.07, 2000),
    "t": ("stop", 0.06, 4000),
    "s": ("hiss", 0.09, 5200),
    "f": ("hiss", 0.07, 3800),
    "m": ("nasal", 0.07, 0),
    "n": ("nasal", 0.06, 0),
    "l": ("glide", 0.05, 0),
}
CLOSED = "bmf"  # said with closed lips
SENTENCES = {  # twelve, under the names that CREMA-D gives its own
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
    """What is a person's own. pitch: Hz. tract: formants, times these. pace: syllables a second."""

    pitch: float
    tract: tuple[float, float, float]
    breath: float
    jitter: float
    pace: float
    tilt: float  # dB an octave by which the source falls beyond 6
    fall: float  # how far the pitch falls over a sentence, in octaves


@dataclass(frozen=True)
class Manner:
    """What an emotion does to a voice; all zeros: nothing. Pitch and range in octaves, loudness in dB."""

    pitch: float = 0.0
    range: float = 0.0  # how far each syllable's pitch rises (or falls) and comes back
    drift: float = 0.0  # over the sentence
    pace: float = 0.0
    loud: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    tremor: float = 0.0
    creak: float = 0.0
    smile: float = 0.0  # formants higher by this part


MANNERS = {
    "ANG": Manner(pitch=0.22, range=-0.35, pace=0.15, loud=5, tilt=-3.5),
    "DIS": Manner(pitch=-0.10, range=-0.15, drift=-0.15, pace=-0.2, loud=-1, creak=0.06, smile=-0.06),
    "FEA": Manner(pitch=0.35, range=0.05, drift=0.12, pace=0.2, loud=-2, breath=0.25, tremor=0.07),
    "HAP": Manner(pitch=0.28, range=0.40, drift=0.05, pace=0.08, loud=3, tilt=-1.5, smile=0.07),
    "NEU": Manner(),
    "SAD": Manner(pitch=-0.12, range=-0.04, drift=-0.28, pace=-0.28, loud=-5, tilt=3.5, breath=0.18),
}


@dataclass(frozen=True)
class Speech:
    """wave: (time,) float32 in -1..1. opening, width: of the mouth, at each sample."""

    wave: np.ndarray
    opening: np.ndarray
    width: np.ndarray


def speak(voice: Voice, sentence: str, emotion: str, strength: float, rng: np.random.Generator) -> Speech:
    """A sentence (a key of SENTENCES) in an emotion; louder, softer, higher and lower by chance."""
    how, tract = MANNERS[emotion], np.array(voice.tract)
    tract = tract * (1 + strength * how.smile) * rng.uniform(0.985, 1.015)
    pace = voice.pace * (1 + strength * how.pace) * rng.uniform(0.93, 1.07)
    parts = _parts(SENTENCES[sentence].split(), 1 / pace, rng)
    n = parts["voiced"].size
    pitch = _pitch(voice, how, strength, parts["syllable"], rng)
    breath = voice.breath + strength * how.breath
    source = _pulses(pitch, voice.jitter + strength * how.creak, rng) + breath * _noise(n, rng) * 0.5
    # Loudness, tilt: one pole takes what the emotion makes dull.
    dull = np.clip(0.25 + 0.05 * (voice.tilt + strength * how.tilt), 0.0, 0.75)
    source = lfilter([1 - dull], [1, -dull], source) * parts["voiced"]
    wave = _formants(source, parts["formants"] * tract)
    wave = wave / (np.abs(wave).max() + 1e-9) + 0.5 * parts["hiss"]
    level = 0.14 * 10 ** ((strength * how.loud + rng.uniform(-9, 9)) / 20)
    room = 10 ** rng.uniform(-3.2, -2.2) * _noise(n, rng)
    wave = np.clip(wave * level / (np.sqrt(np.mean(wave**2)) + 1e-9) * 0.6 + room, -1, 1)
    return Speech(wave.astype(np.float32), parts["opening"], parts["width"])


def _parts(syllables: list[str], length: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """How sound and mouth go from sample to sample: silence, syllables, silence."""
    spans: list[dict] = [_silence(rng.uniform(0.12, 0.3))]
    for k, (consonant, vowel) in enumerate(map(tuple, syllables)):
        kind, seconds, hertz = CONSONANTS[consonant]
        formants, opening, width = VOWELS[vowel]
        last = k == len(syllables) - 1
        spans.append(
            {
                "seconds": seconds * rng.uniform(0.85, 1.2),
                "kind": kind,
                "hertz": hertz,
                "voiced": {"stop": 0.05, "hiss": 0.0, "nasal": 0.35, "glide": 0.6}[kind],
                "formants": (280, 1100, 2300) if kind == "nasal" else formants,
                "opening": 0.0 if consonant in CLOSED else 0.15,
                "width": width,
                "syllable": k + 1,
            }
        )
        spans.append(
            {
                "seconds": max(length - seconds, 0.08) * (1.35 if last else rng.uniform(0.85, 1.15)),
                "kind": "vowel",
                "hertz": 0,
                "voiced": 1.0,
                "formants": formants,
                "opening": opening,
                "width": width,
                "syllable": k + 1,
            }
        )
    spans.append(_silence(rng.uniform(0.15, 0.35)))
    sizes = [round(s["seconds"] * RATE / BLOCK) * BLOCK for s in spans]

    def track(name: str, seconds: float) -> np.ndarray:
        steps = np.repeat([s[name] for s in spans], sizes, axis=0).astype(float)
        return _smooth(steps, seconds)

    hiss = np.zeros(sum(sizes))
    for s, begin, size in zip(spans, np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        if s["kind"] in ("stop", "hiss"):
            hold = size if s["kind"] == "hiss" else size // 3  # a stop is silent, then bursts
            burst = _band(_noise(hold, rng), s["hertz"]) * np.hanning(hold + 2)[1:-1]
            hiss[begin + size - hold : begin + size] = burst * (0.5 if s["kind"] == "hiss" else 0.8)
    syllable = np.repeat([s["syllable"] for s in spans], sizes)
    mouth = track("opening", 0.045)
    return {
        "voiced": track("voiced", 0.02),
        "formants": track("formants", 0.035),
        "opening": mouth,
        "width": track("width", 0.06),
        "syllable": syllable,
        "hiss": hiss,
    }


def _silence(seconds: float) -> dict:
    formants = VOWELS["y"][0]
    return {
        "seconds": seconds,
        "kind": "silence",
        "hertz": 0,
        "voiced": 0.0,
        "formants": formants,
        "opening": 0.0,
        "width": 0.0,
        "syllable": 0,
    }


def _pitch(
    voice: Voice, how: Manner, strength: float, syllable: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Hz at each sample."""
    n = len(syllable)
    octaves = np.log2(voice.pitch) + strength * how.pitch + rng.uniform(-0.25, 0.25)
    octaves = octaves + np.linspace(0.5, -0.5, n) * (voice.fall - strength * how.drift * 2)
    for k in range(1, syllable.max() + 1):
        where = np.flatnonzero(syllable == k)
        move = np.sin(np.linspace(0, np.pi, len(where))) * (0.06 + strength * how.range)
        octaves[where] = octaves[where] + move * rng.uniform(0.6, 1.3)
    wander = _smooth(rng.normal(size=n // BLOCK + 1), 0.05 / BLOCK).repeat(BLOCK)[:n]
    t = np.arange(n) / RATE
    tremor = strength * how.tremor * np.sin(2 * np.pi * rng.uniform(6, 8) * t + rng.uniform(0, 6))
    return 2 ** (_smooth(octaves, 0.04) + 0.02 * wander + tremor)


def _pulses(pitch: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """The glottis: a rounded sawtooth of this pitch, each period longer or shorter by `jitter`."""
    phase = np.cumsum(pitch / RATE)
    period = phase.astype(int)
    uneven = 1 + jitter * rng.normal(size=period[-1] + 2)
    place = np.clip((phase - period) * uneven[period], 0, 1)
    flow = np.where(place < 0.6, np.sin(np.pi * place / 1.2) ** 2, np.cos(np.pi * (place - 0.6) / 0.5) ** 2)
    flow = np.where(place > 0.85, 0, flow) * (1 + 0.5 * jitter * rng.normal(size=len(uneven)))[period]
    return np.diff(flow, prepend=flow[0]) * 12


def _formants(source: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Through resonators at these frequencies, (time, 3), and a fourth that stays."""
    out, state = np.empty_like(source), np.zeros((4, 2))
    widths = np.array([70.0, 90.0, 130.0, 220.0])
    radius = np.exp(-np.pi * widths / RATE)
    for begin in range(0, len(source), BLOCK):
        f = np.append(hertz[begin], 3600.0).clip(80, 0.47 * RATE)
        b, c = 2 * radius * np.cos(2 * np.pi * f / RATE), -(radius**2)
        sections = np.zeros((4, 6))
        sections[:, 0], sections[:, 3] = 1 - b - c, 1
        sections[:, 4], sections[:, 5] = -b, -c
        out[begin : begin + BLOCK], state = sosfilt(sections, source[begin : begin + BLOCK], zi=state)
    return out


def _band(x: np.ndarray, hertz: float) -> np.ndarray:
    radius = np.exp(-np.pi * 1200 / RATE)
    return lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], x) * 2


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=n) * 0.3


def _smooth(x: np.ndarray, seconds: float) -> np.ndarray:
    """Two one-pole filters, there and back, along the first axis; it keeps its first and last values."""
    pole = np.exp(-1 / max(seconds * RATE, 1e-3))
    for _ in range(2):
        first = x[:1] * pole
        x = lfilter([1 - pole], [1, -pole], x, axis=0, zi=first)[0][::-1]
    return x
