"""Models that are not trained again without a change."""

import pytest

from models.evaluation import trial
from models.training import cached
from pipeline.errors import UserError
from testing import toy


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
