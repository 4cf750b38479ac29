"""Localization by a tiny AVOL-Net, with its own sounds and with sounds that nothing in the picture makes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models import checkpoint
from models.evaluation import evaluation
from models.evaluation.localization import NOISES, choose_off_screen, negative_sounds
from models.evaluation.result import Settings
from pipeline.dataset import dataset
from pipeline.dataset.tables import has_no_source
from pipeline.metrics.localization.negatives import NEGATIVES
from testing import toy

NO_SOURCE = 8  # the last clips of the data set, of which every other one is silent
BOX, OTHER_BOX = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A toy data set with clips in which nothing in view makes the sound."""
    root = toy.write(tmp_path_factory.mktemp("data") / "toy", counts=(48, 16, 16 + NO_SOURCE))
    splits, clips = (pq.read_table(root / f"{name}.parquet").to_pydict() for name in ("splits", "clips"))
    first = len(splits["clip_id"]) - NO_SOURCE
    splits["split"][first:] = [None] * NO_SOURCE
    splits["status"] = ["ok"] * first + ["no_source"] * NO_SOURCE
    clips["labels"][first::2] = [[]] * (NO_SOURCE // 2)
    pq.write_table(pa.table(splits), root / "splits.parquet")
    pq.write_table(pa.table(clips), root / "clips.parquet")
    return root


@pytest.fixture(scope="module")
def data(folder):
    return toy.load(folder)


@pytest.fixture(scope="module")
def no_source(folder):
    return dataset.load(folder, toy.AUDIO, toy.VIDEO, no_source=True)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    names = {"video_encoder": "avolnet", "matcher": "localize", "loss": "bce"}
    encoders = {"audio": {}, "video": {"width": 8}}
    toy.train(data, out, toy.experiment(**names, encoders=encoders), epochs=40)
    return checkpoint.load(out / "out")


@pytest.fixture(scope="module")
def boxes(data):
    ids = [data.clip_id[i] for i in data.indices("test")]
    return {clip_id: (BOX, None) for clip_id in ids[:12]} | {
        clip_id: (BOX, OTHER_BOX) for clip_id in ids[12:14]
    }


@pytest.fixture(scope="module")
def result(model, data, boxes, no_source):
    return evaluation.evaluate(model, data, settings(boxes, no_source))


def settings(boxes, no_source=None):
    return Settings("clip", "category", 100, 0, boxes, no_source=no_source)


def test_pointing_counts_the_maxima_of_maps(result, model, data):
    test = data.indices("test")
    assert result.metrics["correspondence"]["auc"] > 0.6
    audio, video = model.embed(data, test[:14])
    maps = model.maps(audio, video).reshape(14, *model.module.video.map)
    assert model.module.video.map == (2, 2) and maps.min() >= 0 and maps.max() <= 1
    part = result.metrics["localization"]["all"]
    first = np.mean([m.argmax() == 0 for m in maps])  # of four positions
    assert part["n"] == 14 and part["pointing"] == pytest.approx(first, abs=1e-6)
    assert result.metrics["localization"]["two_in_view"]["n"] == 2
    assert [m["silent_box"] is None for m in result.maps] == [False] * 2 + [True] * 6  # two in view first
    assert result.maps[0]["clip_id"] == data.clip_id[test[12]]
    # The score is the largest value of the map, calibrated on validation.
    scale, offset = model.module.calibration.tolist()
    best = maps.reshape(14, -1).max(1)
    assert np.allclose(model.score(audio, video), scale * np.log(best / (1 - best)) + offset, atol=1e-3)


def test_without_boxes_nothing_is_localized(model, data):
    plain = evaluation.evaluate(model, data, settings(None))
    assert "localization" not in plain.metrics and plain.maps == []


def test_one_threshold_for_all_pictures(result):
    part = result.metrics["localization"]["one_threshold"]
    assert part["n"] == 12  # without those of two objects: the silent one might be heard off screen
    assert 0 < part["threshold"] < 1
    for name in ("overlap", "f", "f_auc", "ciou_adaptive"):
        assert part["ci"][name][0] <= part[name] <= part["ci"][name][1]
    assert part["agreement"]["sound_off_screen"] < 1  # it listens
    for baseline in ("centre", "object"):  # they do not
        assert set(part[baseline]) >= {"f", "silence"} and "noise" not in part[baseline]
    assert part["centre"]["silence"]["pia"] == pytest.approx(0.5, abs=0.02)
    assert part["centre"]["silence"]["points"] == 1


def test_the_object_map_is_made_of_the_picture_alone(model, data):
    _, video = data.read(data.indices("test")[:3])
    maps = model.compute(model.module.video.object_map, video)
    assert maps.shape == (3, 2, 2) and maps.min() >= 0
    features = model.module.video.tower(model.module.video.normalize(torch.as_tensor(video[:, 0])))
    assert torch.allclose(maps, features.abs().mean(1), atol=1e-6)


def test_clips_in_which_nothing_sounds(result, no_source, data):
    part = result.metrics["localization"]["no_source"]
    assert part["silent"]["n"] == part["off_screen"]["n"] == NO_SOURCE // 2
    assert part["silent"]["centre"]["points"] == 1 and 0 <= part["off_screen"]["object"]["pia"] <= 1
    assert not set(no_source.clip_id) & set(data.clip_id)  # they are in no split


def test_a_model_that_does_not_listen(model, data, boxes, monkeypatch):
    maps = model.maps
    monkeypatch.setattr(
        model, "maps", lambda audio, video: maps(np.repeat(audio[:1] * 0 + 1, len(video), 0), video)
    )
    part = evaluation.evaluate(model, data, settings(boxes)).metrics["localization"]["one_threshold"]
    assert {value for name, value in part["agreement"].items() if name not in ("n", "ci")} == {1.0}
    x, y = part["overlap"], 1 - part["noise"]["pia"]
    assert part["f"] == pytest.approx(2 * x * y / (x + y) if x else 0, abs=1e-5)
    assert all(part[name] == part["silence"] for name in NEGATIVES)


def test_data_without_such_clips(folder, data, model, boxes):
    assert has_no_source(folder)
    part = evaluation.evaluate(model, data, settings(boxes)).metrics["localization"]
    assert part["no_source"] is None and part["one_threshold"] is not None


def test_silence_comes_out_of_the_pipeline(data):
    silence, noise = negative_sounds(toy.INPUTS, data, 0)
    assert silence.shape == (1, *data.audio_shape) and noise.shape == (NOISES, *data.audio_shape)
    assert len(np.unique(silence)) == 1 and silence.max() < noise.min()  # dB, not zeros
    assert not np.array_equal(noise[0], noise[1])


def test_off_screen_sounds_have_no_label_in_common():
    labels = [["a"], ["a", "b"], ["b"], [], ["a"]]
    choice = choose_off_screen(labels, 0)
    assert choice.tolist()[:3] == [2, -1, choice[2]] and choice[2] in (0, 4) and choice[3] == -1
    assert choose_off_screen([["a"], ["a"]], 0).tolist() == [-1, -1]
