"""Towers and the encoder `cached`: a model that was trained on stored features takes files as well."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.evaluation.evaluation import evaluate
from models.evaluation.result import Settings
from models.parts.towers import Towers
from models.training.experiment import describe_features
from models.video import encoders as video_encoders
from pipeline.dataset.windows import Segments, WindowRule
from pipeline.errors import UserError
from testing import toy

SEGMENT_SECONDS, HOP_SECONDS = 0.1, 0.05


@pytest.fixture(scope="module")
def towers_data(tmp_path_factory):
    """Toy data with features, and the field `towers` of an experiment."""
    folder = toy.write(tmp_path_factory.mktemp("toys") / "data")
    towers = toy.write_features(folder, SEGMENT_SECONDS, HOP_SECONDS)
    return toy.load(folder, with_features=True), towers


def cached_experiment(towers, **changes):
    names = {"audio_encoder": "cached", "video_encoder": "cached", "towers": towers}
    return toy.experiment(**names | {"encoders": {"audio": {}, "video": {}, "joint": {}}} | changes)


def without_features(data):
    return dataclasses.replace(data, features={})


def test_segments_by_hand():
    rule = WindowRule(sample_rate=1000, hop_length=10, window_seconds=0.2, window_frames=1, clip_columns=41)
    segments = Segments.from_seconds(0.1, 0.05, rule)
    assert segments == Segments(columns=10, hop_columns=5)
    assert segments.count(20) == 3 and segments.count(41) == 7
    assert Segments.from_seconds(None, None, rule) == Segments(20, 20)
    # A window of 20 columns in 40 usable ones begins at 0, 5, 10, 15 or 20.
    starts = rule.first_columns(np.full(5, 0.395), np.array([0.0, 0.21, 0.5, 0.79, 1.0]), hop_columns=5)
    assert starts.tolist() == [0, 5, 10, 15, 20]
    # One that is hardly longer than a window has one.
    assert rule.first_columns(np.full(2, 0.21), np.array([0.0, 1.0]), hop_columns=5).tolist() == [0, 0]


@pytest.mark.parametrize("head", ["linear", "mlp", "attention"])
def test_files_get_the_vectors_of_stored_features(towers_data, tmp_path, head):
    data, towers = towers_data
    sizes = {"audio": {"head": head, "hidden": 8}, "video": {"head": head, "hidden": 8}, "joint": {}}
    toy.train(data, tmp_path, cached_experiment(towers, encoders=sizes), epochs=2)
    model = checkpoint.load(tmp_path / "out")
    clips = data.indices("test")
    for position in (0.0, 0.5, 0.9):
        stored = model.embed(data, clips, position)
        computed = model.embed(without_features(data), clips, position)
        for side in range(2):
            assert np.abs(stored[side] - computed[side]).max() < 1e-4
            assert np.ptp(stored[side], axis=0).max() > 1e-3  # not the same for all clips


def test_it_learns(towers_data, tmp_path):
    data, towers = towers_data
    summary = toy.train(data, tmp_path, cached_experiment(towers), epochs=12)
    assert summary["val/auc"] > 0.75


def test_one_side_may_be_trained_and_classes_too(towers_data, tmp_path):
    data, towers = towers_data
    one_side = {key: value for key, value in towers.items() if key != "audio"}
    sizes = {"audio": {"width": 8}, "video": {}, "joint": {}}
    names = cached_experiment(one_side, audio_encoder="cnn_small", encoders=sizes, task="classification")
    summary = toy.train(data, tmp_path, names, epochs=8)
    assert summary["val/accuracy"] > 0.25  # chance is 0.125
    assert set(checkpoint.load(tmp_path / "out").config["features"]) == {"video"}


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_one_modality_alone_is_matched_with_itself(towers_data, tmp_path, modality):
    data, towers = towers_data
    names = cached_experiment(towers, modality=modality, pairing="category", loss="supcon")
    toy.train(data, tmp_path, names, epochs=4)
    metrics = evaluate(
        checkpoint.load(tmp_path / "out"), data, Settings("category", "category", 100, 0)
    ).metrics
    [(direction, retrieval)] = metrics["retrieval"].items()
    assert direction == f"{modality}_to_{modality}"
    assert retrieval["map"] > retrieval["chance"]["map"] + 0.1


def test_towers_stay_as_they_are(towers_data, tmp_path):
    data, towers = towers_data
    toy.train(data, tmp_path, cached_experiment(towers), epochs=2)
    module = checkpoint.load(tmp_path / "out").module
    fresh = Towers(video_encoders, toy.TOWERS["video"], (1, 32, 32, 3), None)
    module.train()
    module.video.towers(torch.randint(0, 256, (4, 1, 32, 32, 3), dtype=torch.uint8))
    weights = module.video.towers.state_dict()
    assert weights and all(torch.equal(weights[name], value) for name, value in fresh.state_dict().items())
    assert not any(p.requires_grad for p in module.video.towers.parameters())


def test_several_towers_are_concatenated_with_equal_weight():
    networks = {"timm/test_resnet": {}, "timm/test_vit": {}}
    towers = Towers(audio_encoders, networks, (1, 16, 20), Segments(10, 5))
    features = towers(torch.randn(2, 1, 16, 20))
    sizes = [encoder.n_features for encoder in towers.encoders]
    assert features.shape == (2, 3, sum(sizes))
    for vectors in features.split(sizes, dim=2):
        assert vectors.square().mean(2) == pytest.approx(torch.ones(2, 3), abs=1e-2)


def test_other_features_train_another_model(towers_data):
    data, towers = towers_data
    from models.training.experiment import list_encoder_sources

    sources = partial(list_encoder_sources, cached_experiment(towers))
    assert sources(data) != sources(dataclasses.replace(data, features_digest="other"))
    assert list_encoder_sources(toy.experiment(), data) == []


def test_without_features_it_is_one_line(towers_data):
    data, towers = towers_data
    with pytest.raises(
        UserError, match="^audio_encoder: cached: no features are stored: run dvc repro audio"
    ):
        describe_features(cached_experiment(towers), without_features(data))
    with pytest.raises(UserError, match="name networks under towers"):
        audio_encoders.make("cached", (1, 16, 20), 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"audio_encoder": "cached"}, "audio_encoder: cached needs towers.audio: name networks"),
        ({"towers.video": ["timm/resnet1"]}, "did you mean"),
        ({"towers.video": ["frame"]}, "towers.video"),
        ({"towers.video": ["timm/resnet18", "timm/resnet18"]}, "a network is listed twice"),
        ({"towers.segment_seconds": 2.0}, "towers.segment_seconds 2 is longer than audio.window_seconds 1"),
    ],
)
def test_mistakes_in_params(settings, message):
    with pytest.raises(ValueError, match=message):
        toy.PARAMS.override(settings)


def test_the_config_is_json(towers_data, tmp_path):
    data, towers = towers_data
    toy.train(data, tmp_path, cached_experiment(towers), epochs=1)
    config = json.loads((tmp_path / "out/config.json").read_text())
    features = config["features"]["audio"]
    assert features["towers"].keys() == toy.TOWERS["audio"].keys()
    assert (features["columns"], features["hop_columns"]) == (10, 5)
