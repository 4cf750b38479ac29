"""The stage quality in a project: the same bytes each time, faults as statuses of split."""

import pyarrow.parquet as pq
import pytest

from testing.project import Project

OUTS = ("data/quality.parquet", "metrics/quality.csv", "metrics/loudness.csv")


def test_quality_has_a_row_for_each_clip_and_writes_the_same_again(project: Project):
    before = [(project / out).read_bytes() for out in OUTS]
    table = pq.read_table(project / OUTS[0])
    assert (
        table["clip_id"].to_pylist() == pq.read_table(project / "data/clips.parquet")["clip_id"].to_pylist()
    )
    assert table["group"].null_count == len(table)  # synthetic clips are no copies of each other
    assert project.run("quality").startswith("quality: 40 clips in, ")
    assert [(project / out).read_bytes() for out in OUTS] == before


def test_split_leaves_out_what_quality_drops(project: Project):
    project.set({"quality.drop": ["still", "short"]})
    project.run("quality")
    project.run("split")
    splits = pq.read_table(project / "data/splits.parquet").to_pylist()
    flags = pq.read_table(project / OUTS[0], columns=["flags"])["flags"].to_pylist()
    dropped = {i for i, names in enumerate(flags) if {"still", "short"} & {*names}}
    assert dropped and all(splits[i]["split"] is None and splits[i]["status"] != "ok" for i in dropped)
    assert {row["status"] for row in splits} & {"still", "short"}


def test_new_thresholds_measure_nothing_again(project: Project):
    project.set({"quality.still": 1.0})
    line = project.run("quality")
    assert "still" in line
    assert project.run("audio_quality").endswith("; 0 made, nothing to do")
    assert project.run("video_quality").endswith("; 0 made, nothing to do")


def test_an_unknown_flag_is_one_line(project: Project):
    project.set({"quality.drop": ["stil"]})
    assert "did you mean still" in project.expect_error("quality")


@pytest.mark.parametrize("together", ["none", "any"])
def test_synthetic_clips_are_no_copies_by_picture_either(project: Project, together: str):
    project.set({"quality.duplicates": together})
    assert "duplicate" not in project.run("quality")


def test_the_report_has_a_section(finished_project: Project):
    page = (finished_project / "report/index.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="quality">') :]
    assert "letterboxed" in section and "loudness, LUFS" in section
