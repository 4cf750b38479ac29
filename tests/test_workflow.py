"""The files of CI, of the development container and of the citation agree with the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from models.version import VERSION

ROOT = Path(__file__).parents[1]
REPORT = ROOT / ".github/report"
# BaseLoader: `on` stays a word.
WORKFLOW = yaml.load((ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


# --- the workflow ---------------------------------------------------------------------------------------


def test_it_runs_on_pushes_and_pull_requests():
    assert set(WORKFLOW["on"]) == {"push", "pull_request"}  # not pull_request_target, which would trust forks
    assert [s["run"] for s in WORKFLOW["jobs"]["check"]["steps"] if "run" in s][-1] == ".ci/run"


def test_actions_are_named_with_their_version():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", name) for name in used)
    for step in STEPS:
        if "setup-cml" in step.get("uses", ""):
            assert re.fullmatch(r"v\d+\.\d+\.\d+", step["with"]["version"])
        if "actions/checkout" in step.get("uses", ""):  # DVC compares with revisions that lie further back
            assert step["with"] == {"fetch-depth": "0", "persist-credentials": "false"}


def test_its_commands_and_files_are_there():
    commands = {"cat", "cml", "python", "sudo", "command"}  # cml: that of setup-cml
    for step in STEPS:
        if "run" in step:
            first = step["run"].split()[0]
            assert first in commands or os.access(ROOT / first, os.X_OK), first
    for name in re.findall(r"[\w./-]+\.txt", " ".join(s.get("run", "") for s in STEPS)):
        assert (ROOT / name).exists(), name
    pins = {python for s in STEPS for python in [s.get("with", {}).get("python-version")] if python}
    assert pins == {"3.11"}


def test_a_fork_gets_no_permissions():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [j["permissions"] for j in WORKFLOW["jobs"].values() if "permissions" in j] == [
        {"contents": "read", "pull-requests": "write"}
    ]
    text = (ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8")
    assert re.findall(r"secrets\.(\w+)", text) == ["GITHUB_TOKEN"]
    for step in STEPS:
        if "cml" in step.get("uses", "") + step.get("run", "") or "env" in step:
            assert step["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    # What a fork chooses, such as a branch's name, is never part of a command.
    values = re.findall(r"\$\{\{\s*(.+?)\s*\}\}", " ".join(s.get("run", "") for s in STEPS))
    assert set(values) == {"github.event.pull_request.base.sha", "github.event.pull_request.number"}


# --- the report -----------------------------------------------------------------------------------------


def run(folder: Path, *command: str, must_succeed: bool = True, **env: str) -> subprocess.CompletedProcess:
    env = os.environ | {"DVC_NO_ANALYTICS": "1"} | env
    process = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert not must_succeed or process.returncode == 0, process.stdout + process.stderr
    return process


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    run(folder, "git", *name, "commit", "--quiet", "--message", "x")


def write_files(folder: Path, accuracy: float, rate: float, level: int, n_cells: int) -> None:
    (folder / "params.yaml").write_text(f"rate: {rate}\nseed: 0\n")
    (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": accuracy, "n": 7}}))
    (folder / "grid/cells.json").write_text(json.dumps({f"cell_{i}": accuracy for i in range(n_cells)}))
    (folder / "loss.csv").write_text(f"step,loss\n0,1\n1,{1 - accuracy}\n")
    cv2.imwrite(str(folder / "map.jpg"), np.full((8, 8, 3), level, np.uint8))


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Make a DVC project with an uncommitted change."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "grid").mkdir()
    stage = {"cmd": "true", "params": ["rate", "seed"], "metrics": [{"metrics.json": {"cache": False}}]}
    curve = {"Loss": {"title": "Loss by step", "template": "linear", "x": "step", "y": {"loss.csv": "loss"}}}
    about = {"stages": {"evaluate": stage}, "plots": [curve, "map.jpg"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(about))
    (folder / "grid/dvc.yaml").write_text(yaml.safe_dump({"metrics": ["cells.json"]}))
    (folder / ".gitignore").write_text("/out/\n__pycache__\n")
    run(folder, "git", "init", "--quiet")
    run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    write_files(folder, accuracy=0.5, rate=0.1, level=10, n_cells=70)
    commit(folder)
    write_files(folder, accuracy=0.75, rate=0.2, level=200, n_cells=70)
    return folder


def write_vl_convert(folder: Path, code: str) -> str:
    """Write a stand-in for vl_convert; return its folder, for PYTHONPATH."""
    folder.mkdir()
    (folder / "vl_convert.py").write_text(code)
    return str(folder)


def table_rows(report: str) -> list[list[str]]:
    """Return the rows of all tables of a report."""
    return [
        [c.strip() for c in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"
    ]


def test_the_report_shows_what_changed(repository, tmp_path):
    code = "def vegalite_to_png(spec, scale):\n    import json\n    return json.dumps(spec).encode()\n"
    python = write_vl_convert(tmp_path / "drawer", code)
    (repository / "out").mkdir(exist_ok=True)
    run(repository, sys.executable, str(REPORT), "HEAD", "out/report.md", PYTHONPATH=python)
    report = (repository / "out/report.md").read_text()
    base = run(repository, "git", "rev-parse", "--short", "HEAD").stdout.strip()
    assert re.findall(r"^## (.+)", report, re.M) == [f"Metrics, against {base}", "Parameters", "Plots"]
    rows = table_rows(report)
    assert ["Path", "Metric", base, "workspace", "Change"] in rows
    assert ["metrics.json", "test.accuracy", "0.5", "0.75", "0.25"] in rows
    assert ["params.yaml", "rate", "0.1", "0.2"] in rows
    assert not any("test.n" in row or "seed" in row for row in rows)  # they did not change
    # A grid of many cells is folded away, and cut.
    assert report.index("test.accuracy") < report.index("<details>") < report.index("cell_0")
    assert len([r for r in rows if r[0] == "grid/cells.json"]) == 60 and "… and 10 more rows" in report
    pictures = re.findall(r"!\[(.+?)\]\((.+?)\)", report)
    assert [name for name, _ in pictures] == [
        f"Loss, workspace and {base}",
        "map.jpg, workspace",
        f"map.jpg, {base}",
    ]
    curve, *maps = (repository / "out" / path for _, path in pictures)
    spec = json.loads(curve.read_bytes())
    assert {v["rev"] for v in spec["data"]["values"]} == {"workspace", base}
    assert "Loss by step" in json.dumps(spec["title"])
    assert [round(cv2.imread(str(path)).mean()) for path in maps] == [200, 10]
    assert run(repository, "git", "status", "--porcelain").stdout.splitlines() == [
        f" M {name}" for name in ("grid/cells.json", "loss.csv", "map.jpg", "metrics.json", "params.yaml")
    ]


def test_the_report_of_no_change_and_without_a_drawer(repository, tmp_path):
    same = tmp_path / "same"
    shutil.copytree(repository, same)
    commit(same)
    python = write_vl_convert(tmp_path / "drawer", "raise ImportError\n")
    run(same, sys.executable, str(REPORT), "HEAD", PYTHONPATH=python)
    report = (same / "report.md").read_text()
    assert report.count("Nothing changed.") == 2 and "<details>" not in report and table_rows(report) == []
    assert "Not drawn, for want of vl-convert-python: Loss." in report


def test_an_unknown_base_is_an_error(repository):
    process = run(repository, sys.executable, str(REPORT), "nowhere", "out/other.md", must_succeed=False)
    assert process.returncode == 1 and "nowhere" in process.stderr and "Traceback" not in process.stderr
    assert not (repository / "out/other.md").exists()


# --- the development container, and the citation --------------------------------------------------------


def test_the_development_container():
    text = (ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert re.search(r"python:3\.1[123]-", container["image"])
    program, target = container["postCreateCommand"].split()
    assert program == "make" and run(ROOT, "make", "--dry-run", target)
    [port] = container["forwardPorts"]
    assert f"default={port}" in (ROOT / "app/__main__.py").read_text(encoding="utf-8")
    extensions = {"iterative.dvc", "ms-python.python", "charliermarsh.ruff", "redhat.vscode-yaml"}
    assert extensions <= set(container["customizations"]["vscode"]["extensions"])


def test_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "abstract", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["version"] == VERSION
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(citation["license"])
    assert citation["authors"] == [{"name": "The Earsight developers"}]
    code = [*ROOT.glob("models/**/*.py"), *ROOT.glob("pipeline/**/*.py")]
    text = "".join(p.read_text(encoding="utf-8") for p in code)
    for work in citation["references"]:
        assert work["type"] and work["title"] and work["authors"]
        # What is cited is what the code names as its source.
        names = [i["value"].replace("arXiv:", "arXiv ") for i in work.get("identifiers", [])]
        assert all(name in text for name in names or [work["title"].partition(":")[0]]), work["title"]
