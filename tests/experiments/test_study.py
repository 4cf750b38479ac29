"""study.yaml: typed, and whatever is wrong is one line; what a study records of its run."""

import importlib
import json
import os
import time

import pytest
import yaml

from experiments import study
from experiments.study import Stopwatch, Study, load_stage, read_study
from experiments.videosound_matching.grid import SYSTEM, GridStudy
from pipeline.config import ROOT
from pipeline.errors import UserError
from testing import defaults

STUDIES = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/study.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the parameters of the project, and all study.yaml and dvc.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(defaults.PARAMS.read_bytes())
    for path in (ROOT / "experiments").glob("*/*.yaml"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def write(project, changes: dict) -> None:
    path = project / f"experiments/{SYSTEM}/study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


@pytest.mark.parametrize("system", STUDIES)
def test_every_study_is_right(project, system):
    stages = yaml.safe_load((project / f"experiments/{system}/dvc.yaml").read_text())["stages"]
    modules = [about["cmd"].split("python -m ")[1].split()[0] for about in stages.values()]
    types = {
        value
        for module in modules
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type)
        and issubclass(value, Study)
        and value.__module__.endswith((module, "study"))
    }
    settings = yaml.safe_load((project / f"experiments/{system}/study.yaml").read_text())
    model = next(t for t in types if set(t.model_fields) == set(settings))
    params, own = read_study(system, model)
    assert params.model_dump() != {} and own.set == settings["set"]


# key, value, what the line says
WRONG = [
    ("grid", {"loss": ["bce", "triplett"]}, ["grid.loss.1", "'triplett'", "did you mean triplet?"]),
    ("grid", {"loss": "bce"}, ["grid.loss", "'bce'", "list"]),
    ("leader", 3, ["leader: unknown key", "did you mean leaders?"]),
    ("seeds", [0.5], ["seeds.0", "0.5", "integer"]),
    ("set", {"data.source": "folder"}, ["set", "data.source: cannot be set here", "train"]),
    ("set", {"train.epocs": 3}, ["set: train.epocs: unknown key", "did you mean epochs?"]),
    ("set", {"train.epochs": 0}, ["set: train.epochs: 0", "greater than or equal to 1"]),
    ("set", {"train.epochs.x": 3}, ["set: train.epochs.x", "has no keys"]),
    ("set", {"loss": "triplett"}, ["did you mean triplet?"]),
    ("set", {"video.window_frames": 99}, ["window_frames 99 is more than frames"]),
]


@pytest.mark.parametrize(("key", "value", "says"), WRONG, ids=[f"{k}={v}" for k, v, _ in WRONG])
def test_what_is_wrong_is_one_line(project, key, value, says):
    if key == "grid":
        value = {"audio_encoder": ["cnn"], "video_encoder": ["cnn"]} | value
    write(project, {key: value})
    with pytest.raises(UserError) as e:
        read_study(SYSTEM, GridStudy)
    [line] = str(e.value).splitlines()
    assert line.startswith(f"experiments/{SYSTEM}/study.yaml: ") and all(part in line for part in says), line


def test_a_study_has_what_it_sets_and_a_stage_reads_what_is_listed(project):
    write(project, {"set": {"train.epochs": 7, "encoders.audio.lstm": {"layers": 1}}})
    params, own = load_stage(SYSTEM, "leaderboard", GridStudy)
    assert params.train.epochs == 7 and params.encoders.audio["lstm"] == {"layers": 1}
    assert own.leaders == 5
    params, own = load_stage(SYSTEM, "grid", GridStudy)
    for view, key in ((params, "split"), (params, "loss"), (own, "seeds")):
        with pytest.raises(KeyError, match=f"stage grid reads (study.)?{key}, which dvc.yaml does not list"):
            getattr(view, key)


def test_a_run_that_trains_nothing_keeps_the_record(tmp_path):
    metrics, models = tmp_path / "metrics.json", tmp_path / "models"
    (models / "a").mkdir(parents=True)
    (models / "a/config.json").touch()
    record = Stopwatch(models).record(metrics)
    assert record["trained"] == 0  # nothing is there to keep
    metrics.write_text(json.dumps({"run": {"date": "2026-01-01", "minutes": 5.0, "trained": 1}}))
    os.utime(models / "a/config.json", (0, 0))
    assert Stopwatch(models).record(metrics)["date"] == "2026-01-01"
    stopwatch = Stopwatch(models)
    (models / "b").mkdir()
    (models / "b/config.json").touch()
    os.utime(models / "b/config.json", (time.time() + 1, time.time() + 1))
    record = stopwatch.record(metrics)
    assert record["trained"] == 1 and record["minutes"] < 1 and record["date"] > "2026-01-01"


def test_training_settings_are_keys_of_the_parameters():
    from pipeline.config import Params

    assert {key.split(".")[0] for key in study.TRAINING_SETTINGS} <= set(Params.model_fields)
