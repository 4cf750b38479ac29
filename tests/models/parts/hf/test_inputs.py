"""The inputs of networks for sound equal those of the feature extractors of `transformers`."""

import numpy as np
import pytest
import torch
import transformers

from models.parts.hf.inputs import make_sound_inputs
from pipeline.errors import UserError

# Name -> class and settings of an extractor, and the name of its output.
EXTRACTORS = {
    "ast": ("ASTFeatureExtractor", {}, "input_values"),
    "ast, other sizes": (
        "ASTFeatureExtractor",
        {"max_length": 30, "num_mel_bins": 40, "mean": -3.0, "std": 2.0},
        "input_values",
    ),
    "ast, not normalized": ("ASTFeatureExtractor", {"do_normalize": False}, "input_values"),
    "clap with fusion": ("ClapFeatureExtractor", {"max_length_s": 2}, "input_features"),
    "clap": ("ClapFeatureExtractor", {"truncation": "rand_trunc", "max_length_s": 2}, "input_features"),
    "clap, repeated": ("ClapFeatureExtractor", {"padding": "repeat", "max_length_s": 2}, "input_features"),
    "clap, padded": ("ClapFeatureExtractor", {"padding": "pad", "max_length_s": 2}, "input_features"),
    "pe": ("PeAudioFeatureExtractor", {}, "input_values"),
    "wav2vec2": ("Wav2Vec2FeatureExtractor", {}, "input_values"),
    "wav2vec2, not normalized": ("Wav2Vec2FeatureExtractor", {"do_normalize": False}, "input_values"),
    "whisper": ("WhisperFeatureExtractor", {"chunk_length": 5}, "input_features"),
    "whisper, large": ("WhisperFeatureExtractor", {"feature_size": 128, "chunk_length": 5}, "input_features"),
}


def sounds(seconds, rate):
    """Noise, a soft tone in silence, and clicks: (3, time)."""
    rng = np.random.default_rng(0)
    n = round(seconds * rate)
    tone = 0.01 * np.sin(2 * np.pi * 440 * np.arange(n) / rate) * (np.arange(n) > n // 2)
    clicks = (rng.random(n) < 0.001) * rng.normal(0, 0.5, n)
    return np.stack([rng.normal(0, 0.1, n), tone + 1e-4 * rng.normal(0, 1, n), clicks]).astype(np.float32)


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")  # in AST's own, too
@pytest.mark.parametrize("seconds", [0.35, 1.0])
@pytest.mark.parametrize("name", EXTRACTORS)
def test_agrees_with_transformers(name, seconds):
    kind, settings, key = EXTRACTORS[name]
    extractor = getattr(transformers, kind)(**settings)
    samples = sounds(seconds, extractor.sampling_rate)
    expected = [
        extractor(sound, sampling_rate=extractor.sampling_rate, return_tensors="pt")[key] for sound in samples
    ]
    expected = torch.stack([torch.as_tensor(x[0]) for x in expected])
    inputs = make_sound_inputs("hf/a", extractor.to_dict())
    actual = inputs(torch.from_numpy(samples))
    tolerance = 1e-3
    if kind == "ClapFeatureExtractor":
        expected = expected[:, :1]  # with fusion all are equal
        tolerance *= 4.34  # decibels are so many times as large as natural logarithms
    assert inputs.sample_rate == extractor.sampling_rate
    torch.testing.assert_close(actual, expected.float(), atol=tolerance, rtol=0)


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
@pytest.mark.parametrize("name", ["ast", "clap", "whisper"])
def test_sound_that_is_too_long_is_cut(name):
    kind, settings, _ = EXTRACTORS[name]
    extractor = getattr(transformers, kind)(**settings)
    inputs = make_sound_inputs("hf/a", extractor.to_dict())
    samples = torch.from_numpy(sounds(11, extractor.sampling_rate))
    torch.testing.assert_close(inputs(samples), inputs(samples[:, : inputs.max_samples]), atol=1e-5, rtol=0)


def test_another_extractor_is_one_line():
    with pytest.raises(UserError, match="hf/a: its feature extractor is EncodecFeatureExtractor; here there"):
        make_sound_inputs("hf/a", {"feature_extractor_type": "EncodecFeatureExtractor"})
