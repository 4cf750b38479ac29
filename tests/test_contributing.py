"""Write the files and run the commands of CONTRIBUTING.md in a copy of the project."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from testing import defaults
from testing.project import FOLDERS, ROOT, STAGES, TINY, Project
from testing.recordings import record, sine

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = dict(re.findall(r"^\*\*`(\S+)`\*\*\n\n```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = [line.strip() for line in TEXT.splitlines() if line.startswith("    ")]
CLIPS = 20


def commands(begin: str) -> list[list[str]]:
    """Return the arguments after `begin` of each command that starts with it."""
    return [shlex.split(c.removeprefix(begin)) for c in COMMANDS if c.startswith(f"{begin} ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Make a copy of the project and its tests, with the files that CONTRIBUTING.md adds."""
    project = Project.new(tmp_path_factory.mktemp("contributing") / "project")
    for name in ("params.schema.json", "pyproject.toml"):
        shutil.copy(ROOT / name, project / name)
    shutil.copy(defaults.PARAMS, project / "params.yaml")
    for name in ("testing", "tests"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in CODE.items():
        (project / name).write_text(code, encoding="utf-8")
    python(project, "-m", "pipeline.config.schema")
    return project


def python(project: Project, *arguments: str) -> str:
    """Run `python` in the project; it must succeed. Return its output."""
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    return process.stdout


def test_there_is_an_example_of_each_kind():
    assert [Path(name).parent.as_posix() for name in CODE] == [
        "models/audio",
        "models/losses",
        "pipeline/sources",
    ]
    assert COMMANDS.count("python -m pipeline.config.schema") == 3


def test_make_lint_accepts_the_examples(project):
    python(project, "-m", "ruff", "check", *CODE)
    python(project, "-m", "ruff", "format", "--check", *CODE)


def test_the_common_checks_run_on_them(project):
    arguments = commands("python -m pytest")
    assert [c[-1] for c in arguments] == ["bands", "soft_triplet"]
    # Both in one process, with the test that the schema is up to date.
    files = (arguments[0][0], "tests/pipeline/config/test_schema.py")
    names = " or ".join([*(c[-1] for c in arguments), "generated"])
    output = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", *files, "-k", names)
    assert "PASSED tests/pipeline/config/test_schema.py::test_all_that_is_generated_is_up_to_date" in output
    for check in (
        "test_encoder_takes_any_size_and_batch_1[audio-bands]",
        "test_gradient_reaches_every_parameter[audio-bands]",
        "test_weights_survive_safetensors[audio-bands]",
        "test_onnx_gives_the_same[audio-bands]",
        "test_gradients_in_bfloat16_are_those_in_single_precision[audio-bands]",
        "test_a_right_batch_costs_less_than_a_wrong_one[soft_triplet]",
        "test_every_loss_learns_the_toy[soft_triplet-clip]",
    ):
        assert f"PASSED tests/models/test_components.py::{check}" in output


@pytest.fixture(scope="module")
def trained_project(project) -> Project:
    """Run the stages with the documented parameters on a folder like Kinetics, the others small."""
    lines = []
    for i in range(CLIPS):
        video, start = f"-{i:010d}", 10 * i
        record(
            project / f"videos/{video}_{start:06d}_{start + 10:06d}.mp4",
            frames=45,
            codec="mpeg4",
            sound=sine(1.5, 220 + 20 * i),
            sound_codec="aac",
        )
        split = ("test", "validate", "train", "train")[i % 4]
        lines.append(f'"playing flute, alone",{video},{start},{start + 10},{split},0')
    header = "label,youtube_id,time_start,time_end,split,is_cc"
    lines = [header, *lines, "barking,gone,3,13,train,0"]
    (project / "videos/kinetics.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(project / f"videos/-{0:010d}_000000_000010.mp4", project / "videos/unknown_000000_000010.mp4")
    flags = [word for c in commands("dvc exp run") for word in c if word != "-S"]
    assert "data.folder=/data/Kinetics" in flags
    project.set(TINY | {"train.epochs": 3})
    apply_overrides(project / "params.yaml", [f.replace("/data/Kinetics", "videos") for f in flags])
    project.last_lines = {stage: project.run(stage) for stage in STAGES[: STAGES.index("train") + 1]}
    return project


def test_the_source_becomes_clips(trained_project):
    rows = trained_project.rows("clips.parquet")
    assert trained_project.last_lines["clips"] == f"clips: {CLIPS + 1} clips, 2 classes, from kinetics"
    assert rows[1]["clip_id"] == "kinetics--0000000001_000010_000020" and rows[1]["labels"] == [
        "playing flute, alone"
    ]
    for folder in FOLDERS.values():
        status = [r["status"] for r in trained_project.rows(f"{folder.removeprefix('data/')}/index.parquet")]
        assert status == ["ok"] * CLIPS + ["unreadable"], folder
    sides = {r["clip_id"]: r["split"] for r in trained_project.rows("splits.parquet")}
    assert [i for i in range(CLIPS) if sides[rows[i]["clip_id"]] == "test"] == list(range(0, CLIPS, 4))


def test_the_source_says_what_is_wrong(trained_project):
    list_file = trained_project / "videos/kinetics.csv"
    content = list_file.read_text()
    try:
        list_file.write_text(content.replace(",10,20,", ",ten,20,"))
        assert trained_project.expect_error("clips").endswith(
            "kinetics.csv: line 3: should be: label, YouTube id, start, end, split"
        )
        list_file.unlink()
        assert "kinetics.csv: cannot be read" in trained_project.expect_error("clips")
    finally:
        list_file.write_text(content)


def test_the_encoder_and_the_loss_are_trained(trained_project):
    config = json.loads((trained_project / "checkpoints/config.json").read_text())
    assert (config["audio_encoder"], config["loss"]) == ("bands", "soft_triplet")
    assert config["encoders"]["audio"] == {"width": 128} and config["chosen"]["epochs"] == 3
