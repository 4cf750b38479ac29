"""A trained model as an encoder of xares."""

import numpy as np
import pytest
import torch

from app.xares import XaresEncoder
from earsight import load
from models import checkpoint
from models.version import VERSION
from pipeline.errors import UserError
from pipeline.media.wav import write_wav
from testing.untrained import build_untrained_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, model = tmp_path_factory.mktemp("dist"), build_untrained_model()
    checkpoint.save(path, model.module, model.config | {"version": VERSION})
    return path


def test_the_check_of_xares_passes(folder, monkeypatch):
    checker = pytest.importorskip("xares.audio_encoder_checker")
    from xares.utils import attr_from_py_path

    monkeypatch.setenv("EARSIGHT_MODEL", str(folder))
    encoder = attr_from_py_path("app/xares.py", endswith="Encoder")()
    assert checker.check_audio_encoder(encoder)


@pytest.mark.parametrize("seconds", [0.1, 5.3])
def test_a_frame_is_the_window_around_it(folder, tmp_path, seconds):
    encoder, model, rate = XaresEncoder(str(folder)), load(folder), 16_000
    hop, window = rate // 4, rate
    sound = torch.rand(2, round(seconds * rate), generator=torch.Generator().manual_seed(0)) - 0.5
    frames = encoder(sound)
    assert (encoder.sampling_rate, encoder.hop_size_in_ms, encoder.output_dim) == (rate, 250, 16)
    assert frames.shape == (2, -(-sound.shape[1] // hop), 16)
    padded = np.pad(sound[1], ((window - hop) // 2, window))
    for i in {0, frames.shape[1] // 2, frames.shape[1] - 1}:
        samples = (padded[i * hop : i * hop + window] * 32767).astype(np.int16)
        (tmp_path / "window.wav").write_bytes(write_wav(samples, rate))
        expected = model.embed(tmp_path / "window.wav")["audio"]
        assert np.allclose(frames[1, i], expected, atol=0.02), i


def test_a_model_of_pictures_is_refused(tmp_path):
    model = build_untrained_model(modality="video", task="classification", label="kind", loss=None)
    checkpoint.save(tmp_path, model.module, model.config | {"version": VERSION})
    with pytest.raises(UserError, match="does not embed sounds alone"):
        XaresEncoder(str(tmp_path))
