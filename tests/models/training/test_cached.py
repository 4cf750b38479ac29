"""Models that are not trained again without a change."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from models.evaluation import trial
from models.training import cached
from models.training.experiment import list_encoder_sources
from pipeline.errors import UserError
from testing import hf_models, toy


def test_a_finished_model_is_not_trained_again(data, tmp_path, monkeypatch):
    params = toy.PARAMS.override({"train.epochs": 1, "train.embedding_dim": 8})
    before = trial.run(params, data, tmp_path / "out", seed=3)
    assert before[0].config["seed"] == 3 and len(before[0].config["history"]) == 1
    with monkeypatch.context() as patch:
        patch.setattr(cached, "train", lambda *_, **__: pytest.fail("trained again"))
        assert trial.run(params, data, tmp_path / "out", seed=3)[1] == before[1]
    monkeypatch.setattr(cached, "code_digest", lambda *_: "other code")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="trained again"):
        patch.setattr(cached, "train", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("trained again")))
        trial.run(params, data, tmp_path / "out", seed=3)
    after = trial.run(params, data, tmp_path / "out", seed=4)
    assert after[0].config["seed"] == 4


def test_a_table_trains_on_one_device(data, tmp_path):
    several = toy.PARAMS.override({"train.devices": 2})
    with pytest.raises(UserError, match="each on one device"):
        trial.run(several, data, tmp_path / "out")


def test_weights_of_networks_are_part_of_what_a_model_depends_on(data, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=0)
    weights = tmp_path / "test_resnet.safetensors"
    digests = []
    for change in (0.0, 0.0, 1.0):
        save_file({name: value + change for name, value in net.state_dict().items()}, weights)
        for place in (weights, tmp_path):
            sizes = {"audio": {}, "video": {"pretrained": str(place)}, "joint": {}}
            experiment = toy.experiment(video_encoder="timm/test_resnet", encoders=sizes)
            digests.append(list_encoder_sources(experiment, data))
    assert digests[0] == digests[1] == digests[2] == digests[3] != digests[4] == digests[5]
    assert len(digests[0]) == 1 and list_encoder_sources(toy.experiment(), data) == []
    # Of a folder of Hugging Face, the configuration counts too.
    folder = hf_models.write(tmp_path / "clip", "clip")
    experiment = toy.experiment(video_encoder=f"hf/{folder}")
    before = list_encoder_sources(experiment, data)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert len(before) == 3 and list_encoder_sources(experiment, data) != before
