"""AVOL-Net: the largest value of the map is the score."""

import pytest
import torch

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
