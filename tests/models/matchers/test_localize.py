"""AVOL-Net: the largest value of the map is the score, and its position localizes the sound."""

import numpy as np
import pytest
import torch

from models import checkpoint
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.matchers import matchers
from pipeline.errors import UserError
from testing import toy

AVOL = {"video_encoder": "avolnet", "matcher": "localize", "loss": "bce"}


def sizes(width=8):
    return {"audio": {}, "video": {"width": width}}


def test_the_score_is_the_maximum_of_the_map():
    matcher = matchers.make("localize", 2)
    audio = torch.tensor([[1.0, 0.0]])
    video = torch.tensor([[0.5, 9.0, -1.0, 0.0, 2.0, 1.0]])  # three positions of two numbers
    with torch.no_grad():
        matcher.scale.fill_(3.0)
        matcher.offset.fill_(-1.0)
        assert matcher.map(audio, video).tolist() == [[0.5, -4.0, 5.0]]
        assert matcher(audio, video).tolist() == [5.0]


@pytest.mark.parametrize("changes", [{"matcher": "distance"}, {"matcher": "concat"}, {"loss": "infonce"}])
def test_components_that_do_not_fit_a_map_are_one_line(data, tmp_path, changes):
    experiment = toy.experiment(**AVOL | changes, encoders=sizes())
    with pytest.raises(UserError, match="avolnet.*matcher: localize, loss: bce and modality: both"):
        toy.train(data, tmp_path, experiment)


def test_it_is_trained_and_evaluated(data, tmp_path):
    toy.train(data, tmp_path, toy.experiment(**AVOL, encoders=sizes()), epochs=40)
    model = checkpoint.load(tmp_path / "out")
    test = data.indices("test")
    boxes = {data.clip_id[i]: ([0.0, 0.0, 0.5, 0.5], None) for i in test[:12]}
    boxes |= {data.clip_id[i]: ([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]) for i in test[12:14]}
    result = evaluation.evaluate(model, data, Settings("clip", "category", 200, 0, boxes))
    assert result.metrics["correspondence"]["auc"] > 0.6
    audio, video = model.embed(data, test[:14])
    maps = model.maps(audio, video).reshape(14, *model.module.video.map)
    assert model.module.video.map == (2, 2) and maps.min() >= 0 and maps.max() <= 1
    maxima = [m.argmax() for m in maps]  # of four positions
    part = result.metrics["localization"]["all"]
    assert part["n"] == 14 and part["pointing"] == pytest.approx(np.mean([m == 0 for m in maxima]), abs=1e-6)
    assert result.metrics["localization"]["two_in_view"]["n"] == 2
    assert [m["silent_box"] is None for m in result.maps] == [False] * 2 + [True] * 6  # two in view first
    assert result.maps[0]["clip_id"] == data.clip_id[test[12]]
    # The score is the largest value of the map, calibrated on validation.
    scale, offset = model.module.calibration.tolist()
    best = maps.reshape(14, -1).max(1)
    assert np.allclose(model.score(audio, video), scale * np.log(best / (1 - best)) + offset, atol=1e-3)
    plain = evaluation.evaluate(model, data, Settings("clip", "category", 200, 0))
    assert "localization" not in plain.metrics and plain.maps == []
