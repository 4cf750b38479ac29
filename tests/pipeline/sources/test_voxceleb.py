"""Test the source voxceleb: people and recordings from folders, pairs of recordings, lines, errors."""

from collections import defaultdict

import pytest

from pipeline.config import read
from pipeline.config.data import VoxCelebParams
from pipeline.errors import UserError
from pipeline.sources import voxceleb
from testing import defaults


def data(folder, per_person=100, pair="person", trials=None):
    section = VoxCelebParams(
        faces="faces", voices="voices", per_person=per_person, pair=pair, trials=trials and str(trials)
    )
    changes = {"folder": str(folder), "source": "voxceleb", "voxceleb": section}
    return read(defaults.PARAMS).data.model_copy(update=changes)


def write_files(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


@pytest.fixture
def folder(tmp_path):
    """Ann's recordings have the same names on both sides, Bob's do not; Cid has no voice, Dee no face."""
    write_files(tmp_path, *(f"faces/Ann/1.6/rec{r}/{i}.jpg" for r in (1, 2) for i in range(3)))
    write_files(tmp_path, *(f"voices/Ann/rec{r}/0000{i}.wav" for r in (1, 2) for i in range(2)))
    write_files(tmp_path, *(f"faces/Bob/1.6/face{r}/{i}.jpg" for r in range(3) for i in range(2)))
    write_files(tmp_path, *(f"voices/Bob/voice{r}/0000{i}.wav" for r in range(2) for i in range(4)))
    write_files(tmp_path, "faces/Cid/1.jpg", "voices/Dee/v/1.wav", "faces/Ann/readme.txt")
    return tmp_path


def test_a_missing_folder_names_its_parameter(tmp_path):
    (tmp_path / "voices").mkdir()
    with pytest.raises(UserError, match="faces: no such folder: set data.voxceleb.faces"):
        voxceleb.clips(data(tmp_path))


def test_a_clip_is_a_face_and_a_voice_of_one_person(folder):
    table = voxceleb.clips(data(folder)).table
    rows = table.to_pylist()
    assert {r["subject"] for r in rows} == {"Ann", "Bob"}
    for r in rows:
        assert r["labels"] == [r["subject"]]
        assert f"/voices/{r['subject']}/" in r["audio"] and f"/faces/{r['subject']}/" in r["video"]
    ann = [r for r in rows if r["subject"] == "Ann"]
    assert len(ann) == 4  # two voices of each recording
    for r in ann:
        assert r["video_id"].split("/")[1] in r["audio"] and r["video_id"].split("/")[1] in r["video"]
    assert len({r["video"] for r in rows}) == len({r["audio"] for r in rows}) == len(rows)  # each file once
    assert voxceleb.clips(data(folder)).table.equals(table)


def test_no_recording_is_in_two_groups(folder):
    group = defaultdict(set)
    for r in voxceleb.clips(data(folder)).table.to_pylist():
        for path in (r["audio"], r["video"]):
            group[path.rsplit("/", 1)[0]].add(r["video_id"])
    assert all(len(ids) == 1 for ids in group.values())
    assert len({i for ids in group.values() for i in ids if i.startswith("Bob/")}) == 2


def test_pair_video_uses_only_recordings_of_the_same_name(folder):
    rows = voxceleb.clips(data(folder, pair="video")).table.to_pylist()
    assert {r["subject"] for r in rows} == {"Ann"} and len(rows) == 4


def test_per_person_limits_the_clips_and_spreads_them_over_recordings(folder):
    rows = voxceleb.clips(data(folder, per_person=2)).table.to_pylist()
    assert sorted(r["subject"] for r in rows) == ["Ann", "Ann", "Bob", "Bob"]
    assert len({r["video_id"] for r in rows}) == 4


def test_speakers_of_the_trials_are_the_test_split(folder):
    trials = folder / "veri_test2.txt"
    trials.write_text("1 Bob/v/1.wav Bob/v/2.wav\n0 Bob/v/1.wav Eve/v/2.wav\n")
    params = data(folder, trials=trials)
    table, lines = voxceleb.clips(params)
    assert {(r["subject"], r["split"]) for r in table.to_pylist()} == {("Ann", None), ("Bob", "test")}
    assert "1 speakers of data.voxceleb.trials have no clip: Eve" in lines
    trials.write_text("1 Bob\n")
    with pytest.raises(UserError, match="data.voxceleb.trials: .*line 1: not 0 or 1 and two utterances"):
        voxceleb.clips(params)


def test_lines_count_people_and_files_in_no_clip(folder):
    params = data(folder)
    lines = voxceleb.clips(params).lines
    assert lines[0] == "1 people left out, who have no voice: Cid"
    assert lines[1] == "1 people left out, who have no face: Dee"
    assert any("faces in no clip" in line for line in lines[2:])


def test_vox1_meta_translates_ids_to_names(tmp_path):
    write_files(tmp_path, "faces/A.J._Buckley/1.6/abc/1.jpg", "voices/id10001/abc/00001.wav")
    with pytest.raises(UserError, match="nobody has both a face and a voice.*put vox1_meta.csv beside"):
        voxceleb.clips(data(tmp_path))
    meta = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
    (tmp_path / "vox1_meta.csv").write_text(meta)
    [row] = voxceleb.clips(data(tmp_path)).table.to_pylist()
    assert row["subject"] == "A.J._Buckley" and row["video_id"] == "A.J._Buckley/abc"
    (tmp_path / "vox1_meta.csv").write_text(meta.replace("\t", ","))
    with pytest.raises(UserError, match="separated by tabs"):
        voxceleb.clips(data(tmp_path))


def test_flat_folders_of_faces(tmp_path):
    write_files(tmp_path, *(f"faces/Ann/{i}.jpg" for i in range(5)))
    write_files(tmp_path, *(f"voices/Ann/v{r}/{i}.wav" for r in range(2) for i in range(5)))
    rows = voxceleb.clips(data(tmp_path)).table.to_pylist()
    assert len(rows) == 5 and len({r["video_id"] for r in rows}) == 2


def test_missing_folders_and_files_are_errors_of_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        voxceleb.clips(data(tmp_path))
    (tmp_path / "faces").mkdir()
    with pytest.raises(UserError, match="no pictures in folders of people there.*data.voxceleb.faces"):
        voxceleb.clips(data(tmp_path))
    write_files(tmp_path, "faces/Ann/1.jpg", "voices/1.wav")
    with pytest.raises(UserError, match="no sounds in folders of people there"):
        voxceleb.clips(data(tmp_path))
