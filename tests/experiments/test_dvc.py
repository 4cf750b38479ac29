"""Studies are a DVC project of their own: it notices what they depend on, and the root does not read them."""

import json
import re
import shutil

import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from experiments.code_digests import digests
from experiments.study import listed_keys
from models.sharing.git_source import Origin
from testing.project import ROOT, Project
from tests.experiments.conftest import GRID, PAIR, RETRIEVAL, STAGES
from tests.stages.test_pipeline import check_metrics

FILES = sorted((ROOT / "experiments").glob("*/dvc.yaml"))
ON_PROJECT_DATA = pytest.mark.parametrize(("folder", "stage"), STAGES)


@ON_PROJECT_DATA
def test_a_stage_needs_nothing_that_is_not_listed(studies_project, folder, stage):
    # The fixture ran each stage where only those data are that dvc.yaml lists.
    assert (studies_project / "last_lines" / stage).read_text().startswith(f"{stage}: ")


@ON_PROJECT_DATA
def test_every_listed_parameter_is_read(studies_project, folder, stage):
    lines = (studies_project / "trace" / stage).read_text().splitlines()
    keys = {key for kind, key in map(str.split, lines) if kind == "key"}
    listed = listed_keys(ROOT / folder, stage)
    # study.set is read before what a stage may read is restricted; the matrix reads study.grid.
    assert {*listed["../../params.yaml"], *listed["study.yaml"]} == keys | {"study.set"}


def test_metrics_of_a_pair_have_their_names_intervals_and_chance(studies_project):
    check_metrics(studies_project / GRID / f"metrics/{PAIR}.json")
    record = json.loads((studies_project / GRID / f"metrics/{PAIR}.json").read_text())["run"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record["date"]) and record["trained"] == 1


def test_a_model_of_a_study_has_its_own_metrics(dvc_project):
    metrics = json.loads((dvc_project / GRID / f"metrics/{PAIR}.json").read_text())
    origin = Origin.find(dvc_project / GRID / "models/grid" / PAIR)
    assert origin.metrics == metrics and origin.data["source"] == "ensemble"
    assert "train" in origin.params and "models.audio" not in origin.params


# --- what is listed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_study_depends_on_its_own_code_and_on_all_that_is_run_by_name(path):
    folder, hashes = f"experiments/{path.parent.name}", digests()
    for stage, about in yaml.safe_load(path.read_text())["stages"].items():
        [module] = re.findall(r"exec python -m (\S+)", about["cmd"])
        keys = listed_keys(path.parent, stage)["../code.json"]
        if keys != (f"studies.{path.parent.name}",):
            assert about.get("deps")  # no data of its own
            assert module in keys and "models" in {key.split(".")[0] for key in keys}
        for key in keys:
            place = hashes
            for name in key.split("."):
                place = place[name]
        assert about["cmd"].startswith("cd ../.. && exec python -m " + folder.replace("/", "."))
        # All that a study writes is named, and none of it is in DVC's cache: a clone has no cache.
        assert all(next(iter(out.values()))["cache"] is False for out in about["outs"])


# --- what makes a study stale ---------------------------------------------------------------------------


def stale(project: Project, folder: str) -> set[str]:
    """The stages of a study whose command or parameters changed."""
    with Repo(str(project / folder)) as repo:
        return {
            stage.name.partition("@")[0]
            for stage in repo.index.stages
            if stage.path_in_repo == f"{folder.partition('/')[2]}/dvc.yaml"
            and (
                stage.changed_stage()
                or any(isinstance(dep, ParamsDependency) and dep.workspace_status() for dep in stage.deps)
            )
        }


@pytest.mark.parametrize(
    ("key", "value", "grid", "retrieval"),
    [
        ("train.epochs", 21, {"grid", "leaderboard"}, {"retrieval"}),
        ("seed", 1, {"grid", "leaderboard"}, {"retrieval"}),
        ("loss", "triplet", set(), {"retrieval"}),
        ("index.kind", "hnsw", set(), set()),
        ("evaluate.bootstrap", 200, {"grid", "leaderboard"}, {"retrieval"}),
        ("audio.n_mels", 20, {"grid", "leaderboard"}, {"retrieval"}),
        ("pretraining.mask_ratio", 0.6, set(), set()),
        ("losses.triplet", {"margin": 0.4}, {"leaderboard"}, {"retrieval"}),
        ("study seeds", [2], {"leaderboard"}, set()),
        ("study set", {"train.epochs": 3}, {"grid", "leaderboard"}, set()),
    ],
)
def test_a_parameter_makes_stale_what_reads_it(dvc_project, key, value, grid, retrieval):
    file, name = (f"{GRID}/study.yaml", key.split()[1]) if " " in key else ("params.yaml", key)
    before = (dvc_project / file).read_text()
    assert stale(dvc_project, GRID) == stale(dvc_project, RETRIEVAL) == set()
    try:
        dvc_project.set({name: value}, file)
        assert (stale(dvc_project, GRID), stale(dvc_project, RETRIEVAL)) == (grid, retrieval)
    finally:
        (dvc_project / file).write_text(before)


def test_what_code_does_makes_a_study_stale_and_what_it_says_does_not(dvc_project, tmp_path):
    project = dvc_project.copy(tmp_path / "project")

    def changed(path: str, text: str) -> set[str]:
        file = project / path
        file.write_text((file.read_text() if file.exists() else "") + text)
        project.run("experiments.code_digests")
        return stale(project, GRID)

    assert changed("models/losses/bce.py", "\n# A comment.\n") == set()
    shutil.copy(project / "models/losses/bce.py", project / "models/losses/bce_2.py")
    assert changed("models/losses/bce_2.py", "") == {"leaderboard"}  # which may train any loss
    assert changed("pipeline/metrics/bootstrap.py", "\nUNUSED = 1\n") == {"grid", "leaderboard"}


def test_a_second_run_trains_nothing(dvc_project, tmp_path, monkeypatch):
    project = dvc_project.copy(tmp_path / "project")
    out = project.run_command("dvc", "--cd", GRID, "repro")
    assert "Running stage '../dvc.yaml:code'" in out and out.count("Running stage") == 1
    assert f"Stage 'grid@{PAIR}' didn't change, skipping" in out
    (project / "data/splits.parquet").write_bytes(b"other")  # outside of the studies' DVC project
    monkeypatch.chdir(project / GRID)
    with Repo() as repo:
        status = repo.status([f"grid@{PAIR}"])
    assert "data/splits.parquet" in str(status)


def test_commands_in_the_root_do_not_read_the_studies(dvc_project):
    with Repo(str(dvc_project.root)) as repo:
        assert {stage.path_in_repo for stage in repo.index.stages} == {"dvc.yaml"}
        assert repo.status() == {}
