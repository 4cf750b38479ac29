"""dvc.yaml is the only list of stages, so its entries must be complete and in an order that can run."""

import re

import pytest

from pipeline.config import ROOT, data_stages, stage_entry, stage_names
from pipeline.errors import UserError
from testing.sandbox import outs

SCRIPTS = {path.stem: path for path in (ROOT / "stages").glob("[!_]*.py")}


def test_each_script_is_a_stage():
    assert set(SCRIPTS) == set(stage_names())
    for stage in stage_names():
        assert stage_entry(stage)["cmd"] == f"python -m stages.{stage}"


def test_stages_that_run_a_step_over_shards_are_data_stages():
    """Such a script needs an out `data/<folder>` with `persist: true`."""
    scripts = [name for name in stage_names() if "runner.run(" in SCRIPTS[name].read_text(encoding="utf-8")]
    assert scripts == list(data_stages())


def test_a_stage_comes_after_those_whose_outs_it_reads():
    ready: list[str] = []
    for stage in stage_names():
        for dep in stage_entry(stage)["deps"]:
            if dep.startswith(("data/", "metrics/", "checkpoints", "pretrained")):
                assert any(dep == out or dep.startswith(f"{out}/") for out in ready), (stage, dep)
        ready += outs(stage)


@pytest.mark.parametrize("folder", data_stages().values())
def test_the_report_depends_on_every_data_stage(folder):
    """It reads the index of each: its `deps` need the folder, or `index.parquet` there."""
    assert {folder, f"{folder}/index.parquet"} & set(stage_entry("report")["deps"])


@pytest.mark.parametrize("content", [None, "stages: [", "- a", "plots: []"])
def test_a_missing_or_broken_file_is_one_line(tmp_path, content):
    if content:
        (tmp_path / "dvc.yaml").write_text(content)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/dvc.yaml: ")):
        data_stages(tmp_path)
