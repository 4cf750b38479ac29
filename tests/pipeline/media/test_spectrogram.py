import math
import pickle
from types import SimpleNamespace

import librosa
import numpy as np
import pytest

from pipeline.media.feature_ranges import BYTES
from pipeline.media.features import filter_banks
from pipeline.media.features.librosa_features import OWN, SHARED
from pipeline.media.features.scipy_features import FEATURES
from pipeline.media.spectrogram import SpectrogramStep
from pipeline.media.wav import write_wav
from testing.recordings import AUDIO, clip_row, sine

SOUNDS = {
    "noise": np.random.default_rng(0).standard_normal(20000).astype(np.float32) * 0.1,
    "chord": (sine(1.2, 300, 16000) + sine(1.2, 2500, 16000)) * 0.5
    + np.float32(0.01) * np.random.default_rng(1).standard_normal(19200).astype(np.float32),
    "tone": sine(1.3, 3111, 16000) * np.float32(1.99),
    "silence": np.zeros(17000, np.float32),
    "loudest": np.sign(sine(1.3, 1000, 16000)).astype(np.float32),
}
SETTINGS = {
    "default": {},
    "odd": {"n_fft": 600, "win_length": 441, "hop_length": 123, "n_mels": 40, "fmin": 0.0, "fmax": None},
    "wide": {"n_fft": 2048, "win_length": 2048, "hop_length": 512, "n_mels": 128},
}


def params(feature, **more):
    return SimpleNamespace(**(vars(AUDIO) | {"feature": feature} | more))


def padded(sound, seconds=1.5, rate=16000):
    return np.pad(sound, (0, max(0, round(seconds * rate) - len(sound))))[: round(seconds * rate)]


def reference_stft(sound, a):
    return librosa.stft(
        padded(sound).astype(np.float64), n_fft=a.n_fft, hop_length=a.hop_length, win_length=a.win_length
    )


def reference_mel(sound, a):
    power = np.abs(reference_stft(sound, a)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=a.sample_rate, n_mels=a.n_mels, fmin=a.fmin, fmax=a.fmax)
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("sound", SOUNDS)
def test_agrees_with_librosa(sound, settings):
    y, more = SOUNDS[sound], SETTINGS[settings]
    a = params("stft", **more)
    spectrum = reference_stft(y, a)
    actual = SpectrogramStep(a, 1.5).compute_feature(y)
    np.testing.assert_allclose(actual, np.stack([spectrum.real, spectrum.imag]), atol=1e-3)
    actual = SpectrogramStep(params("log_spectrogram", **more), 1.5).compute_feature(y)
    np.testing.assert_allclose(actual[0], np.log(np.abs(spectrum) + 1e-5), atol=1e-3)
    actual = SpectrogramStep(params("mel", **more), 1.5).compute_feature(y)
    np.testing.assert_allclose(actual[0], reference_mel(y, a), atol=1e-3)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("feature", SHARED)
def test_the_backends_agree(feature, settings):
    steps = [
        SpectrogramStep(params(feature, backend=b, **SETTINGS[settings]), 1.5) for b in ("scipy", "librosa")
    ]
    for y in SOUNDS.values():
        own, librosas = (step.compute_feature(y) for step in steps)
        np.testing.assert_allclose(librosas, own, atol=1e-3)


def test_mel_banks_are_those_of_librosa():
    for n_mels, n_fft, high in [(64, 512, 8000.0), (128, 2048, None), (40, 600, 7000.0)]:
        bank = filter_banks.mel_bank(16000, n_fft, n_mels, 50.0, high).toarray()
        expected = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=n_mels, fmin=50.0, fmax=high)
        np.testing.assert_allclose(bank, expected, atol=1e-7)


def test_log_frequency_by_hand():
    """Five bins an octave apart from 500 Hz, FFT bins 250 Hz apart: weights worked out on paper."""
    bank = filter_banks.log_bank(16000, 64, 5, 500.0, 8000.0).toarray()
    assert bank.shape == (5, 33) and np.allclose(bank.sum(1), 1)
    # 500 Hz: 250 Hz down to 250 (weight 0 there), 500 Hz up to 1000: 500 -> 1, 750 -> 1/2; their sum is 3/2.
    np.testing.assert_allclose(bank[0, :5], [0, 0, 2 / 3, 1 / 3, 0], atol=1e-6)
    # 1000 Hz: from 500, up to 2000: 750 -> 1/2, 1000 -> 1, then 3/4, 1/2, 1/4; their sum is 3.
    np.testing.assert_allclose(bank[1, 2:9], np.array([0, 0.5, 1, 0.75, 0.5, 0.25, 0]) / 3, atol=1e-6)


@pytest.mark.parametrize("tone", [60.0, 440.0, 1000.0, 5000.0])
def test_log_frequency_shows_a_tone_in_its_bin(tone):
    step = SpectrogramStep(params("log_frequency", n_fft=4096, win_length=4096, n_mels=84, fmin=32.7), 1.5)
    value = step.compute_feature(sine(1.5, tone, 16000))[0]
    centres = 32.7 * (8000 / 32.7) ** (np.arange(84) / 83)
    assert abs(value[:, 75].argmax() - np.abs(np.log(centres / tone)).argmin()) <= 1
    assert np.isfinite(value).all()


def kaldi(sound, rate=16000, window=400, hop=160, bins=128):
    """Kaldi's log mel filterbank, bin by bin and frame by frame, in float64."""
    size = 512
    low, high = 1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + rate / 2 / 700)
    delta = (high - low) / (bins + 1)
    rows = []
    for start in range(0, len(sound) - window + 1, hop):
        frame = sound[start : start + window].astype(np.float64)
        frame = frame - frame.mean()
        emphasized = frame.copy()
        for i in range(window):
            emphasized[i] = frame[i] - 0.97 * frame[max(0, i - 1)]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
        power = np.abs(np.fft.rfft(emphasized * hann, size)) ** 2
        row = []
        for b in range(bins):
            lower, centre, upper = low + b * delta, low + (b + 1) * delta, low + (b + 2) * delta
            total = 0.0
            for k in range(size // 2):
                mel = 1127 * np.log(1 + k * rate / size / 700)
                if lower < mel < upper:
                    total += power[k] * ((mel - lower) / delta if mel <= centre else (upper - mel) / delta)
            row.append(np.log(max(total, 1.1920929e-07)))
        rows.append(row)
    return np.array(rows).T


@pytest.mark.parametrize("sound", ["noise", "silence"])
def test_fbank_agrees_with_a_hand_worked_definition(sound):
    y = SOUNDS[sound][:3000] + np.float32(0.2)  # a constant, to be removed
    actual = SpectrogramStep(params("fbank", n_mels=128), 0.25).compute_feature(y)
    expected = kaldi(padded(y - y.mean(), 0.25))
    assert actual.shape == (1, 128, 23)
    np.testing.assert_allclose(actual[0], expected, atol=1e-3)


@pytest.mark.parametrize("seconds", [1.5, 0.004])  # a clip, and one shorter than a column
def test_a_waveform_is_its_samples_in_columns(seconds):
    step = SpectrogramStep(params("waveform"), seconds)
    for y in SOUNDS.values():
        y = y[: round(seconds * 16000)]
        feature = step.compute_feature(y)
        assert feature.shape == step.shape == (1, 160, math.ceil(seconds * 100))
        samples = feature.transpose(0, 2, 1).reshape(-1)
        assert np.array_equal(samples[: len(y)], y) and not samples[len(y) :].any()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("feature", [*FEATURES, *OWN])
def test_shapes_and_half_precision(feature, settings):
    more = SETTINGS[settings] | ({"fmin": 40.0} if feature == "cqt" else {})  # which has no bin at 0 Hz
    step = pickle.loads(pickle.dumps(SpectrogramStep(params(feature, **more), 1.5)))
    for y in SOUNDS.values():
        content = write_wav((y.clip(-1, 32767 / 32768) * 32768).astype(np.int16), 16000)
        (outcome,) = step([clip_row()], [content])
        assert (
            outcome.status == "ok" and outcome.value.shape == step.shape and outcome.value.dtype == np.float16
        )
        assert np.isfinite(outcome.value).all()
        assert outcome.extra["seconds"] == min(1.5, len(y) / 16000)


@pytest.mark.parametrize("feature", sorted(BYTES))
def test_bytes_hold_every_feature_to_half_a_step(feature):
    float_step, byte_step = (SpectrogramStep(params(feature, dtype=d), 1.5) for d in ("float16", "uint8"))
    low, high = BYTES[feature]
    for y in SOUNDS.values():
        content = write_wav((y.clip(-1, 32767 / 32768) * 32768).astype(np.int16), 16000)
        (exact,), (coded,) = float_step([clip_row()], [content]), byte_step([clip_row()], [content])
        assert coded.value.dtype == np.uint8
        decoded = coded.value * ((high - low) / 255) + low
        assert np.abs(decoded - exact.value.astype(np.float32)).max() <= (high - low) / 510 + 0.05


def test_the_loudest_sound_fits_float16():
    a = params("stft", n_fft=65536, win_length=65536, hop_length=16384)
    (outcome,) = SpectrogramStep(a, 5.0)([clip_row()], [write_wav(np.full(80000, -32768, np.int16), 16000)])
    assert np.isfinite(outcome.value).all() and np.abs(outcome.value).max() == pytest.approx(32768, rel=1e-3)


def test_a_file_that_is_not_wav_is_a_row():
    good = write_wav((sine(1.0, rate=16000) * 32767).astype(np.int16), 16000)
    wrong = write_wav(np.zeros(8000, np.int16), 8000)
    outcomes = list(SpectrogramStep(AUDIO, 1.5)([clip_row()] * 4, [good, b"RIFF", wrong, good]))
    assert [o.status for o in outcomes] == ["ok", "corrupt", "corrupt", "ok"]
