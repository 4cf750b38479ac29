"""dvc.yaml tells the truth: what a stage reads is listed, what is listed is read, a knob turns no more."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from pipeline.config import data_stages, read, stage_entry
from pipeline.config.reader import View, apply_settings
from pipeline.media.features.librosa_features import OWN
from pipeline.media.spectrogram import SpectrogramStep
from testing.project import CODE, ROOT, STAGES, Project
from testing.sandbox import NEUTRAL, code


def read_trace(project: Project, stage: str, kind: str) -> set[str]:
    """Return what a stage and its workers read; kind: key, module or file."""
    path = project / "trace" / stage
    lines = path.read_text().splitlines() if path.exists() else []
    return {name for k, name in map(str.split, lines) if k == kind}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_nothing_that_is_not_listed(finished_project, people_project, stage):
    # The fixture ran each stage where only those data are that dvc.yaml lists; reading a key that is not
    # listed is an error. Which code a clip or a model depends on, pipeline/store/code_identity.py finds.
    assert (finished_project / "last_lines" / stage).read_text().startswith(f"{stage}: ")
    assert (people_project / "last_lines" / stage).read_text().startswith(f"{stage}: ")


# The report shows all that are listed, without asking for each.
@pytest.mark.parametrize("stage", [s for s in STAGES if s != "report"])
def test_every_listed_parameter_is_read(traced_projects, stage, monkeypatch):
    keys = {key for project in traced_projects for key in read_trace(project, stage, "key")}
    if stage == "spectrogram":
        keys |= keys_of_librosas_features(monkeypatch)
    assert set(stage_entry(stage)["params"]) == keys


def keys_of_librosas_features(monkeypatch) -> set[str]:
    """Return the keys that the step of `spectrogram` reads for features that no project computes."""
    keys: set[str] = set()
    get_value = View.__getattr__

    def record(view: View, name: str):
        keys.add(f"{view._section_key}.{name}")
        return get_value(view, name)

    monkeypatch.setattr(View, "__getattr__", record)
    listed = tuple(stage_entry("spectrogram")["params"])
    for feature in OWN:
        params = apply_settings(read(ROOT / "params.yaml"), {"audio.feature": feature}, "test")
        step = SpectrogramStep(View(params, "spectrogram", listed).audio, 0.5)
        step.compute_feature(np.zeros(8000, np.float32))
    return {key for key in keys if key.startswith("audio.")}


def imported_files(stage: str, projects: list[Project]) -> set[str]:
    """Return the files of code that a stage imports, without their suffixes."""
    files: set[str] = set()
    for project in projects:
        modules = {m.replace(".", "/") for m in read_trace(project, stage, "module")}
        packages = {m for m in modules if (ROOT / m).is_dir()}
        files |= {f"{m}/__init__" for m in packages} | (modules - packages)
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_nothing_but_what_is_listed(traced_projects, stage):
    listed = (*(d.removesuffix(".py") for d in code(stage)), *NEUTRAL)
    tops = [f"{name}/__init__" for name in CODE]  # empty
    assert not [f for f in imported_files(stage, traced_projects) if f not in tops and not within(f, listed)]


@pytest.mark.parametrize("stage", STAGES)
def test_all_listed_code_is_imported(traced_projects, stage):
    files = imported_files(stage, traced_projects)
    assert [d for d in code(stage) if any(within(f, [d.removesuffix(".py")]) for f in files)] == code(stage)


def within(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def listed_code(path: Path) -> list[str]:
    """The lines of a dvc.yaml that name code: folders, and in studies keys of experiments/code.json."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    items = [line[2:] for line in lines if line.startswith("- ")]
    return [item for item in items if re.split(r"[/.]", item)[0] in (*CODE, "studies")]


def test_code_is_named_in_few_lines():
    files = [ROOT / "dvc.yaml", *sorted((ROOT / "experiments").rglob("dvc.yaml"))]
    assert all((ROOT / name).exists() for name in listed_code(ROOT / "dvc.yaml"))
    assert len(files) > 3 and 20 < sum(len(listed_code(file)) for file in files) < 100


# --- what a knob makes stale ----------------------------------------------------------------------------


def test_nothing_is_stale_where_nothing_was_turned(dvc_project, monkeypatch):
    monkeypatch.chdir(dvc_project.root)
    with Repo(str(dvc_project.root)) as repo:
        assert repo.status(recursive=True) == {}


def stale_stages(project: Project) -> set[str]:
    """Return the stages whose command or parameters changed; DVC finds those that follow as it runs."""
    with Repo(str(project.root)) as repo:
        return {
            stage.name.partition("@")[0]
            for stage in repo.index.stages
            if stage.changed_stage()
            or any(isinstance(dep, ParamsDependency) and dep.workspace_status() for dep in stage.deps)
        }


@pytest.mark.parametrize(
    ("knob", "value", "changed"),
    [
        ("train.epochs", 21, {"train", "report"}),
        ("seed", 1, {"pretrain", "train", "evaluate", "index", "report"}),
        ("loss", "triplet", {"train", "report"}),
        ("index.kind", "hnsw", {"index"}),
        ("evaluate.bootstrap", 200, {"evaluate", "report"}),
        ("audio.n_mels", 20, {"spectrogram", "audio_towers", "pretrain", "train", "report"}),
        ("video.height", 40, {"frames", "video_towers", "video_quality", "pretrain", "train", "report"}),
        ("split.seed", 1, {"split", "report"}),
        ("quality.still", 0.1, {"quality", "report"}),
        ("data.ensemble.clips", 41, {"clips", "report"}),
        ("faces.size", 40, {"faces", "video_towers", "pretrain", "train", "report"}),
        ("pretraining.mask_ratio", 0.6, {"pretrain", "report"}),
        ("encoders.joint", {}, {"pretrain", "train", "report"}),
        ("classification.labels", 0.5, {"train", "report"}),
        ("classification.start", "scratch", {"pretrain", "train", "report"}),
        ("train.start", "dist/bells", {"pretrain", "train", "report"}),
        # They then find nothing to do, or write the same.
        ("engine.workers", 1, {"clips", *data_stages(), "evaluate", "index"}),
    ],
)
def test_a_knob_makes_stale_what_reads_it(dvc_project, knob, value, changed, monkeypatch):
    monkeypatch.chdir(dvc_project.root)
    before = (dvc_project / "params.yaml").read_text()
    try:
        dvc_project.set({knob: value})
        assert stale_stages(dvc_project) == changed
    finally:
        (dvc_project / "params.yaml").write_text(before)
