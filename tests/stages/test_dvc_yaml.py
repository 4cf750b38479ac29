"""dvc.yaml tells the truth: what a stage reads is listed, what is listed is read, a knob turns no more."""

import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from testing.project import ROOT, Project
from testing.sandbox import DEFAULT, GRID, STAGES, code, entry

DATA = {"clips", "download", "wav", "spectrogram", "frames", "split"}


def asked(project: Project, stage: str, kind: str) -> set[str]:
    """What a stage asked for, it and its workers; kind: key, module or file."""
    path = project / "trace" / stage
    lines = path.read_text().splitlines() if path.exists() else []
    return {name for k, name in map(str.split, lines) if k == kind}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_nothing_that_is_not_listed(made, told, stage):
    # The fixture ran each stage where only those data are that dvc.yaml lists; reading a key that is not
    # listed is an error. Which code a clip or a model depends on, pipeline/store/code_identity.py finds itself.
    assert (made / "said" / stage).read_text().startswith(f"{stage}: ")
    if stage in DEFAULT:
        assert (told / "said" / stage).read_text().startswith(f"{stage}: ")


# The report shows all that are listed, without asking for each.
@pytest.mark.parametrize("stage", [s for s in STAGES if s != "report"])
def test_every_listed_parameter_is_read(traced, stage):
    # Of what belongs to one model by name (`losses.${item.loss}`) a stage asks for the whole.
    listed = {key.partition(".${")[0] for key in entry(stage)["params"]}
    assert listed == {key for project in traced for key in asked(project, stage, "key")}


@pytest.mark.parametrize("stage", STAGES)
def test_every_listed_file_of_code_is_used(traced, stage):
    used = set()
    for project in traced:
        modules = {m.replace(".", "/") for m in asked(project, stage, "module")}
        used |= {f"{m}.py" for m in modules} | asked(project, stage, "file")
    listed = [d for d in entry(stage)["deps"] if d.startswith(("models/", "pipeline/", "stages/"))]
    assert not [d for d in listed if d not in used and not any(u.startswith(f"{d}/") for u in used)]


@pytest.mark.parametrize("stage", STAGES)
def test_everything_listed_is_there(stage):
    assert not [f for f in code(stage) if not (ROOT / f).exists()]


# --- what a knob makes stale ----------------------------------------------------------------------------


def test_nothing_is_stale_where_nothing_was_turned(tracked, monkeypatch):
    monkeypatch.chdir(tracked.root)
    with Repo(str(tracked.root)) as repo:
        assert repo.status(recursive=True) == {}


def stale(project: Project) -> set[str]:
    """The stages whose command or parameters changed; those that follow from them DVC finds as it goes."""
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
        ("train.epochs", 21, {"train", "report", *GRID}),
        ("seed", 1, {"pretrain", "train", "evaluate", "index", "report", *GRID}),
        ("loss", "triplet", {"train", "report", "retrieval"}),
        ("index.kind", "hnsw", {"index"}),
        ("grid.seeds", [2], {"leaderboard"}),
        ("evaluate.bootstrap", 200, {"evaluate", "report", *GRID}),
        ("audio.n_mels", 20, {"spectrogram", "pretrain", "train", "report", *GRID}),
        ("video.height", 40, {"frames", "pretrain", "train", "report", *GRID}),
        ("split.seed", 1, {"split", "report"}),
        ("data.ensemble.clips", 41, {"clips", "report"}),
        ("faces.size", 40, {"faces", "pretrain", "train", "report", *GRID}),
        ("pretraining.mask_ratio", 0.6, {"pretrain", "report"}),
        ("encoders.joint", {}, {"pretrain", "train", "report", *GRID}),
        ("classification.labels", 0.5, {"train", "report", *GRID}),
        ("classification.start", "scratch", {"pretrain", "train", "report", *GRID}),
        (
            "engine.workers",
            1,
            {"download", "wav", "spectrogram", "frames", "faces", "evaluate", "index"},
        ),  # which then find nothing to do, or write the same
    ],
)
def test_a_knob_makes_stale_what_reads_it(tracked, knob, value, changed, monkeypatch):
    monkeypatch.chdir(tracked.root)
    before = (tracked / "params.yaml").read_text()
    try:
        tracked.set({knob: value})
        assert stale(tracked) == changed
    finally:
        (tracked / "params.yaml").write_text(before)
