"""The study of small data, at a size that shows only that it works, with networks of random weights."""

import json
import shutil

import numpy as np
import pytest
import yaml

from experiments import study_data
from experiments.small_data import table
from experiments.small_data.study import choose_clips, count_classes, set_weights, small_data
from pipeline.config import ROOT, apply_settings, read
from pipeline.errors import UserError
from testing import defaults, toy

TOWERS = {"towers.audio": ["timm/test_resnet"], "towers.video": ["timm/test_resnet"]}
STUDY = {
    "folders": {"toys": "toys", "others": "nowhere"},
    "weights": None,
    "arms": {
        "from scratch": {"video_encoder": "shallow"},
        "towers for both": {"audio_encoder": "cached", "video_encoder": "cached"},
    },
    "per_class": [2, 50],
    "validation": 0.5,
    "seeds": [0, 1],
    "set": TOWERS | {"pairing": "category", "loss": "supcon", "train.epochs": 1},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Toy data with the features of towers."""
    folder = toy.write(tmp_path_factory.mktemp("toys") / "data", counts=(48, 16, 16))
    toy.write_features(folder)
    return toy.load(folder, with_features=True)


@pytest.fixture
def project(data, tmp_path, monkeypatch):
    """A folder in which the study can run. It has its data already."""
    shutil.copy(defaults.PARAMS, tmp_path / "params.yaml")
    folder = tmp_path / "experiments/small_data"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "experiments/small_data/README.md", folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    (tmp_path / "toys").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_data, "load", lambda folder, params: data)
    return tmp_path


def test_small_data(project, capsys):
    small_data()
    folder = project / "experiments/small_data"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["results"]) == {"toys"} and metrics["run"]["trained"] == 8
    assert "nowhere is not there: others is left out" in capsys.readouterr().out
    about = metrics["about"]["toys"]
    assert about | {"classes": 8, "per_class": 6, "train": 48, "val": 16, "test": 16} == about
    for arm, sized in metrics["results"]["toys"].items():
        assert list(sized) == ["2", "all"]
        for result in sized.values():
            for metric in table.METRICS:
                assert len(result[metric]["seeds"]) == 2 and len(result[metric]["ci"][metric]) == 2
            assert result["training_seconds"]["seconds"] > 0
            assert (result["towers_seconds"]["seconds"] == 0) == (arm == "from scratch")
    page = (folder / "README.md").read_text()
    assert "| all (6) | towers for both | " in page and "over from scratch: towers for both accuracy" in page
    assert (folder / "small_data.png").read_bytes().startswith(b"\x89PNG")

    # What is there is not trained again, and a folder that is away keeps its results.
    small_data()
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    (project / "toys").rename(project / "away")
    small_data()
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert "toys is not there: the results on toys stay those of the last run" in capsys.readouterr().out


def test_without_any_folder_it_is_one_line(project):
    (project / "toys").rmdir()
    with pytest.raises(UserError, match="study.yaml: folders: none is there"):
        small_data()


def test_a_smaller_choice_is_part_of_a_larger_one(data):
    few, more = (choose_clips(data, n, 0.5, "category", seed=0) for n in (2, 4))
    assert set(count_classes(few, "category", "train").values()) == {2}
    assert set(count_classes(more, "category", "val").values()) == {2}
    assert set(few.indices("train")) < set(more.indices("train")) < set(data.indices("train"))
    assert np.array_equal(few.indices("test"), data.indices("test"))
    assert len({d.digest for d in (data, few, more, choose_clips(data, 2, 0.5, "category", seed=1))}) == 4
    assert choose_clips(data, None, 0.5, "category", seed=0) is data


def test_weights_are_those_of_all_towers(tmp_path):
    params = apply_settings(read(defaults.PARAMS), TOWERS, "test")
    changed = set_weights(params, str(tmp_path))
    for side in (changed.encoders.audio, changed.encoders.video):
        assert side["timm"] == {"pretrained": str(tmp_path.resolve())}
    assert set_weights(params, None) is params
    with pytest.raises(UserError, match=r"study.yaml: weights: \S+ is not there: name a folder"):
        set_weights(params, str(tmp_path / "nowhere"))


def test_gains_in_words():
    def results(accuracy, low, high):
        return {
            metric: {
                metric: accuracy,
                "ci": {metric: [low, high]},
                "n": 4,
                "seeds": [accuracy],
                "chance": 0.5,
            }
            for metric in table.METRICS
        } | {key: {"seconds": 1.0} for key in table.SECONDS}

    arms = {
        "from scratch": {"all": results(0.6, 0.5, 0.7)},
        "better": {"all": results(0.9, 0.8, 0.95)},
        "same": {"all": results(0.55, 0.4, 0.6)},
    }
    about = {"classes": 2, "per_class": 7, "train": 14, "val": 4, "test": 4}
    text = table.markdown({"results": {"toys": arms}, "about": {"toys": about}})
    assert "- toys, all (7) clips of a class, over from scratch: better accuracy +.300, AUC +.300," in text
    assert "; same accuracy -.050 (intervals overlap), AUC -.050 (intervals overlap)" in text


def test_the_committed_figure_is_small():
    assert (ROOT / "experiments/small_data/small_data.png").stat().st_size < 200_000
