"""Synthesize the voices of the synthetic people, which say nonsense syllables.

A source-filter synthesizer after Klatt (1980): glottal pulses of a varying pitch pass four resonators in
series; fricatives and stops are filtered noise. The formants of the vowels are those of Peterson and Barney
(1952).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, sosfilt

RATE = 22_050  # Hz; one of the few rates that FLV allows for MP3
BLOCK = 110  # samples between updates of the filters: 5 ms
VOWELS = {  # formants in Hz, opening of the mouth, width of the mouth
    "a": ((730, 1090, 2440), 1.0, 0.1),
    "e": ((530, 1840, 2480), 0.65, 0.35),
    "i": ((270, 2290, 3010), 0.35, 0.5),
    "o": ((570, 840, 2410), 0.75, -0.4),
    "u": ((300, 870, 2240), 0.35, -0.6),
    "y": ((490, 1350, 1690), 0.5, 0.0),
}
CONSONANTS = {  # kind, length in s, centre frequency of its noise in Hz
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
    """A person's voice. pitch: Hz. tract: factors of the formants. pace: syllables a second."""

    pitch: float
    tract: tuple[float, float, float]
    breath: float
    jitter: float
    pace: float
    tilt: float  # dB an octave by which the source falls off beyond 6
    fall: float  # of the pitch over a sentence, in octaves


@dataclass(frozen=True)
class Manner:
    """The changes of a voice by an emotion; 0: none. Pitches in octaves, loudness in dB, pace as a share."""

    pitch: float = 0.0
    pitch_range: float = 0.0  # rise of the pitch within each syllable, before it falls back
    pitch_drift: float = 0.0  # over the sentence
    pace: float = 0.0
    loudness: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    tremor: float = 0.0
    creak: float = 0.0
    smile: float = 0.0  # raises the formants by this share


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
    """wave: (time,) float32 in -1..1. opening, width: (time,) of the mouth."""

    wave: np.ndarray
    opening: np.ndarray
    width: np.ndarray


def speak(voice: Voice, sentence: str, emotion: str, strength: float, rng: np.random.Generator) -> Speech:
    """Speak a sentence (a key of SENTENCES) in an emotion, with random loudness, pitch and pace.

    emotion: a key of MANNERS. strength: of the emotion, 0..1.
    """
    manner, tract = MANNERS[emotion], np.array(voice.tract)
    tract = tract * (1 + strength * manner.smile) * rng.uniform(0.985, 1.015)
    pace = voice.pace * (1 + strength * manner.pace) * rng.uniform(0.93, 1.07)
    tracks = _tracks(SENTENCES[sentence].split(), 1 / pace, rng)
    n = tracks["voiced"].size
    pitch = _pitch(voice, manner, strength, tracks["syllable"], rng)
    breath = voice.breath + strength * manner.breath
    source = _pulses(pitch, voice.jitter + strength * manner.creak, rng) + breath * _noise(n, rng) * 0.5
    # A one-pole low-pass filter sets the spectral tilt.
    pole = np.clip(0.25 + 0.05 * (voice.tilt + strength * manner.tilt), 0.0, 0.75)
    source = lfilter([1 - pole], [1, -pole], source) * tracks["voiced"]
    wave = _filter_formants(source, tracks["formants"] * tract)
    wave = wave / (np.abs(wave).max() + 1e-9) + 0.5 * tracks["noise"]
    level = 0.14 * 10 ** ((strength * manner.loudness + rng.uniform(-9, 9)) / 20)
    room_noise = 10 ** rng.uniform(-3.2, -2.2) * _noise(n, rng)
    wave = np.clip(wave * level / (np.sqrt(np.mean(wave**2)) + 1e-9) * 0.6 + room_noise, -1, 1)
    return Speech(wave.astype(np.float32), tracks["opening"], tracks["width"])


def _tracks(syllables: list[str], length: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return what controls sound and mouth at each sample, for silence, syllables, silence.

    length: of a syllable, s. `voiced`, `opening`, `width`: (time,); `formants`: (time, 3), Hz; `syllable`:
    (time,), 0 for silence, else 1, 2, …; `noise`: (time,), the sound of stops and fricatives.
    """
    spans = _spans(syllables, length, rng)
    sizes = [round(span["seconds"] * RATE / BLOCK) * BLOCK for span in spans]

    def track(name: str, seconds: float) -> np.ndarray:
        steps = np.repeat([span[name] for span in spans], sizes, axis=0).astype(float)
        return _smooth(steps, seconds)

    noise = np.zeros(sum(sizes))
    for span, begin, size in zip(spans, np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        if span["kind"] in ("stop", "hiss"):
            burst_size = size if span["kind"] == "hiss" else size // 3  # a stop is silent first, then bursts
            burst = _band(_noise(burst_size, rng), span["hertz"]) * np.hanning(burst_size + 2)[1:-1]
            noise[begin + size - burst_size : begin + size] = burst * (0.5 if span["kind"] == "hiss" else 0.8)
    return {
        "voiced": track("voiced", 0.02),
        "formants": track("formants", 0.035),
        "opening": track("opening", 0.045),
        "width": track("width", 0.06),
        "syllable": np.repeat([span["syllable"] for span in spans], sizes),
        "noise": noise,
    }


def _spans(syllables: list[str], length: float, rng: np.random.Generator) -> list[dict]:
    """Return the sounds in order: silence, a consonant and a vowel for each syllable, silence."""
    spans = [_silence(rng.uniform(0.12, 0.3))]
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
                "opening": 0.0 if consonant in LABIALS else 0.15,
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
    return spans


def _silence(seconds: float) -> dict:
    """Return a span without sound."""
    return {
        "seconds": seconds,
        "kind": "silence",
        "hertz": 0,
        "voiced": 0.0,
        "formants": VOWELS["y"][0],
        "opening": 0.0,
        "width": 0.0,
        "syllable": 0,
    }


def _pitch(
    voice: Voice, manner: Manner, strength: float, syllable: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the pitch at each sample, Hz. syllable: (time,), the number of the syllable, 0 for silence."""
    n = len(syllable)
    octaves = np.log2(voice.pitch) + strength * manner.pitch + rng.uniform(-0.25, 0.25)
    octaves = octaves + np.linspace(0.5, -0.5, n) * (voice.fall - strength * manner.pitch_drift * 2)
    for k in range(1, syllable.max() + 1):
        samples = np.flatnonzero(syllable == k)
        rise = np.sin(np.linspace(0, np.pi, len(samples))) * (0.06 + strength * manner.pitch_range)
        octaves[samples] = octaves[samples] + rise * rng.uniform(0.6, 1.3)
    wander = _smooth(rng.normal(size=n // BLOCK + 1), 0.05 / BLOCK).repeat(BLOCK)[:n]
    t = np.arange(n) / RATE
    tremor = strength * manner.tremor * np.sin(2 * np.pi * rng.uniform(6, 8) * t + rng.uniform(0, 6))
    return 2 ** (_smooth(octaves, 0.04) + 0.02 * wander + tremor)


def _pulses(pitch: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Return the glottal source: a rounded sawtooth of this pitch (Hz), whose periods vary by `jitter`."""
    phase = np.cumsum(pitch / RATE)
    period = phase.astype(int)
    variation = 1 + jitter * rng.normal(size=period[-1] + 2)
    x = np.clip((phase - period) * variation[period], 0, 1)  # position within the period
    flow = np.where(x < 0.6, np.sin(np.pi * x / 1.2) ** 2, np.cos(np.pi * (x - 0.6) / 0.5) ** 2)
    flow = np.where(x > 0.85, 0, flow) * (1 + 0.5 * jitter * rng.normal(size=len(variation)))[period]
    return np.diff(flow, prepend=flow[0]) * 12


def _filter_formants(source: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Filter by four resonators in series: three at the frequencies `hertz` (time, 3), and a constant one."""
    out, state = np.empty_like(source), np.zeros((4, 2))
    bandwidths = np.array([70.0, 90.0, 130.0, 220.0])
    radius = np.exp(-np.pi * bandwidths / RATE)
    for begin in range(0, len(source), BLOCK):
        f = np.append(hertz[begin], 3600.0).clip(80, 0.47 * RATE)
        b, c = 2 * radius * np.cos(2 * np.pi * f / RATE), -(radius**2)
        sections = np.zeros((4, 6))
        sections[:, 0], sections[:, 3] = 1 - b - c, 1
        sections[:, 4], sections[:, 5] = -b, -c
        out[begin : begin + BLOCK], state = sosfilt(sections, source[begin : begin + BLOCK], zi=state)
    return out


def _band(x: np.ndarray, hertz: float) -> np.ndarray:
    """Filter by one resonator."""
    radius = np.exp(-np.pi * 1200 / RATE)
    return lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], x) * 2


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=n) * 0.3


def _smooth(x: np.ndarray, seconds: float) -> np.ndarray:
    """Low-pass filter along the first axis, forwards and backwards: no delay; the ends keep their values."""
    pole = np.exp(-1 / max(seconds * RATE, 1e-3))
    for _ in range(2):
        state = x[:1] * pole
        x = lfilter([1 - pole], [1, -pole], x, axis=0, zi=state)[0][::-1]
    return x
