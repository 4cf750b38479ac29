"""Measures and fingerprints of sounds whose values are known."""

import numpy as np
import pytest

from pipeline.media.wav import write_wav
from pipeline.quality.fingerprint import CODE_BYTES, count_codes, fingerprint
from pipeline.quality.sound import AudioQualityStep, measure_sound

RATE = 16000


def tone(level: float, seconds: float = 3.0, frequency: float = 997.0) -> np.ndarray:
    """A sine, int16. level: its peak, in dB of full scale."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.round(32767 * 10 ** (level / 20) * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (3000 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.int16)


@pytest.mark.parametrize("level", [0, -20, -50])
def test_loudness_is_that_of_bs_1770(level):
    # A sine of 997 Hz at full scale in one channel has -3.01 LKFS.
    assert measure_sound(tone(level), RATE)["loudness"] == pytest.approx(level - 3.01, abs=0.1)


def test_what_has_no_loudness_has_none():
    assert measure_sound(np.zeros(RATE, np.int16), RATE)["loudness"] is None
    assert measure_sound(tone(0, 0.2), RATE)["loudness"] is None  # BS.1770 measures blocks of 0.4 s


def test_silence_is_the_share_of_silent_blocks():
    sound = np.concatenate([tone(-20, 1.0), np.zeros(3 * RATE, np.int16)])
    assert measure_sound(sound, RATE)["silence"] == pytest.approx(0.75)
    assert measure_sound(tone(-65), RATE)["silence"] == 1.0
    assert measure_sound(tone(-40), RATE)["silence"] == 0.0


def test_clipping_is_the_share_of_samples_at_full_scale():
    assert measure_sound(tone(-2), RATE)["clipping"] == 0.0
    clipped = np.clip(2 * tone(0).astype(int), -32768, 32767).astype(np.int16)
    assert measure_sound(clipped, RATE)["clipping"] == pytest.approx(2 / 3, abs=0.03)  # |sin| > 1/2


def test_bandwidth_is_the_highest_frequency():
    spectrum = np.fft.rfft(noise(2.0))
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) > 3000] = 0
    narrow = np.fft.irfft(spectrum).astype(np.int16)
    assert measure_sound(narrow, RATE)["bandwidth"] == pytest.approx(3000, abs=200)
    assert measure_sound(noise(2.0), RATE)["bandwidth"] == pytest.approx(RATE / 2, abs=50)


@pytest.mark.parametrize("length", [0, 1, 100, 5000, 6400, 7001, 16_000])
def test_short_sounds_are_measured(length):
    measures = measure_sound(noise(1.0)[:length], RATE)
    assert all(value is None or np.isfinite(value) for value in measures.values())


@pytest.mark.parametrize("rate", [4000, 8000, 16000, 22050, 44100])
def test_a_fingerprint_has_the_same_length_at_each_rate(rate):
    samples = np.random.default_rng(0).standard_normal(2 * rate).astype(np.float32)
    assert fingerprint(samples, rate).shape == (count_codes(2.0), CODE_BYTES)


def test_a_quieter_sound_has_the_same_fingerprint():
    sound = noise(2.0).astype(np.float32) / 32768
    assert np.mean(fingerprint(sound, RATE) != fingerprint(sound / 10, RATE)) < 0.01


def test_the_step_pads_and_reports_what_is_no_wav():
    step = AudioQualityStep(4.0)
    short, broken = step([{}, {}], [write_wav(noise(1.0), RATE), b"no WAV"])
    assert short.status == "ok" and short.extra["seconds"] == 1.0
    assert short.value.shape == step.layout.format.shape and not short.value[count_codes(1.0) :].any()
    assert broken.status == "corrupt" and "WAV" in broken.detail
