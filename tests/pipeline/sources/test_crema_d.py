"""Test the source crema_d: names of files, lists of votes and demographics, broken files."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline.config import ROOT, read
from pipeline.config.data import CremaDParams
from pipeline.errors import UserError
from pipeline.sources import crema_d
from testing import defaults

LISTS = ROOT.parent / "shared/crema_d"
HEAD = '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"'


def data(folder, emotions=tuple(crema_d.EMOTIONS), labels="acted"):
    section = CremaDParams(emotions=list(emotions), labels=labels)
    changes = {"folder": str(folder), "source": "crema_d", "crema_d": section}
    return read(defaults.PARAMS).data.model_copy(update=changes)


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / "a clone/VideoFlash"
    videos.mkdir(parents=True)
    for name in ("1002_DFA_SAD_XX", "1001_IEO_HAP_LO", "1001_TSI_NEU_XX"):
        (videos / f"{name}.flv").write_bytes(b"FLV")
    return tmp_path / "a clone"


def test_names_become_rows(folder):
    rows = crema_d.clips(data(folder)).table.to_pylist()
    assert [r["clip_id"] for r in rows] == ["1001_IEO_HAP_LO", "1001_TSI_NEU_XX", "1002_DFA_SAD_XX"]
    first = rows[0]
    assert first["labels"] == ["happy"] and first["subject"] == "1001" and first["level"] == "low"
    assert first["sentence"] == "It's eleven o'clock" and first["age"] is None
    assert rows[1]["level"] is None and rows[1]["emotion"] == "neutral"
    assert first["audio"] == first["video"] == f"{folder}/VideoFlash/1001_IEO_HAP_LO.flv"
    assert crema_d.clips(data(folder)).lines == [
        "no VideoDemographics.csv there: age, sex, race and ethnicity are unknown"
    ]


def test_lines_count_other_emotions_and_misnamed_files(folder):
    (folder / "VideoFlash/1001_IEO_HAPPY.flv").write_bytes(b"FLV")
    params = data(folder, ["SAD"])
    table, (first, second, _) = crema_d.clips(params)
    assert table["clip_id"].to_pylist() == ["1002_DFA_SAD_XX"]
    assert "1 FLV files left out" in first and "1001_IEO_HAPPY.flv" in first
    assert "2 clips of other emotions" in second


def test_demographics_are_added(folder):
    demographics = '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
    (folder / "VideoDemographics.csv").write_text(demographics)
    first, *_, last = crema_d.clips(data(folder)).table.to_pylist()
    assert (first["age"], first["sex"], first["race"]) == (51, "Male", "Caucasian")
    assert first["ethnicity"] == "Not Hispanic" and last["age"] is None


def test_labels_by_votes_and_two_labels_after_a_tie(folder):
    rows = [
        f'"{i}","{n}","N","1","N","1","{v}","1"'
        for i, (n, v) in enumerate(
            [("1001_IEO_HAP_LO", "H:N"), ("1001_TSI_NEU_XX", "N"), ("1002_DFA_SAD_XX", "D")]
        )
    ]
    (folder / "processedResults").mkdir()
    (folder / "processedResults/summaryTable.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    labels = [r["labels"] for r in crema_d.clips(data(folder, labels="rated")).table.to_pylist()]
    assert labels == [["happy", "neutral"], ["neutral"], ["disgust"]]
    emotions = [r["emotion"] for r in crema_d.clips(data(folder, labels="rated")).table.to_pylist()]
    assert emotions == ["happy", "neutral", "sad"]  # the acted ones


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("VideoDemographics.csv", "ActorID,Age\n1001,5\n", "no column Sex"),
        ("VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,old,M,x,y\n", "line 2: Age 'old'"),
        ("VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,5\n", "line 2: the number of fields"),
        ("VideoDemographics.csv", 'ActorID,Age,Sex,Race,Ethnicity\n"1001"x,5,M,x,y\n', "broken quoting"),
        ("summaryTable.csv", f"{HEAD}\n1,1001_IEO_HAP_LO,N,1,N,1,Q,1\n", "line 2: vote 'Q'"),
        ("summaryTable.csv", f"{HEAD}\n1,1001_IEO_HAP_LO,N,1,N,1,H,1\n", "has no row for 1001_TSI_NEU_XX"),
        ("other.csv", "", "no summaryTable.csv there"),
    ],
)
def test_an_invalid_list_is_an_error_of_one_line(folder, name, text, message):
    write(folder, name, text)
    with pytest.raises(UserError) as e:
        crema_d.clips(data(folder, labels="rated"))
    assert message in str(e.value) and len(str(e.value).splitlines()) == 1


def test_no_files_is_an_error_of_one_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for path, emotions, message in (
        (tmp_path / "empty", ["SAD"], "no FLV files of CREMA-D"),
        (folder, ["FEA"], "none of 3 files has one of the emotions FEA"),
        (tmp_path / "gone", ["SAD"], "no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            crema_d.clips(data(path, emotions))
    shutil.copytree(folder / "VideoFlash", folder / "again")
    with pytest.raises(UserError, match="1001_IEO_HAP_LO.flv is there twice"):
        crema_d.clips(data(folder))


def test_broken_files_fail_with_a_reason(folder):
    for name in crema_d.BROKEN:
        (folder / f"{name}.flv").write_bytes(b"FLV")
    outcomes = {
        r["clip_id"]: crema_d.fetch(r, data(folder)) for r in crema_d.clips(data(folder)).table.to_pylist()
    }
    assert len(outcomes) == 6
    for name, outcome in outcomes.items():
        assert outcome.status == ("corrupt" if name in crema_d.BROKEN else "ok")
        assert name not in crema_d.BROKEN or "broken as published" in outcome.detail


@pytest.mark.skipif(not LISTS.is_dir(), reason="the published lists are not there")
def test_the_published_lists(tmp_path):
    names = [line.split('"')[1] for line in (LISTS / "SentenceFilenames.csv").read_text().splitlines()[1:]]
    for name in names:
        (tmp_path / f"{name}.flv").touch()
    shutil.copy(LISTS / "VideoDemographics.csv", tmp_path)
    table, lines = crema_d.clips(data(tmp_path))
    assert len(table) == len(names) == 7442 and lines == []
    rows = table.to_pylist()
    assert len({r["subject"] for r in rows}) == 91 and all(r["age"] and r["sex"] for r in rows)
    counts = Counter(r["labels"][0] for r in rows)
    assert counts.pop("neutral") == 1087 and set(counts.values()) == {1271}
