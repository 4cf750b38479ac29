"""VoxCeleb: people and recordings come from folders, and no recording is on both sides of a split."""

from collections import defaultdict

import pytest

from pipeline.config import read
from pipeline.config.data import VoxCelebParams
from pipeline.errors import UserError
from pipeline.sources import voxceleb
from testing import defaults


def data(folder, per_person=100, pair="person"):
    wanted = VoxCelebParams(faces="faces", voices="voices", per_person=per_person, pair=pair)
    about = {"folder": str(folder), "source": "voxceleb", "voxceleb": wanted}
    return read(defaults.PARAMS).data.model_copy(update=about)


def put(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


@pytest.fixture
def folder(tmp_path):
    """Ann's recordings have the same names on both sides, Bob's have not, Cid has no voice, Dee no face."""
    put(tmp_path, *(f"faces/Ann/1.6/rec{r}/{i}.jpg" for r in (1, 2) for i in range(3)))
    put(tmp_path, *(f"voices/Ann/rec{r}/0000{i}.wav" for r in (1, 2) for i in range(2)))
    put(tmp_path, *(f"faces/Bob/1.6/face{r}/{i}.jpg" for r in range(3) for i in range(2)))
    put(tmp_path, *(f"voices/Bob/voice{r}/0000{i}.wav" for r in range(2) for i in range(4)))
    put(tmp_path, "faces/Cid/1.jpg", "voices/Dee/v/1.wav", "faces/Ann/readme.txt")
    return tmp_path


def test_a_clip_is_a_face_and_a_voice_of_one_person(folder):
    table = voxceleb.clips(data(folder))
    rows = table.to_pylist()
    assert {r["subject"] for r in rows} == {"Ann", "Bob"}
    for r in rows:
        assert r["labels"] == [r["subject"]]
        assert f"/voices/{r['subject']}/" in r["audio"] and f"/faces/{r['subject']}/" in r["video"]
    ann = [r for r in rows if r["subject"] == "Ann"]
    assert len(ann) == 4  # two voices of each recording
    for r in ann:
        assert r["video_id"].split("/")[1] in r["audio"] and r["video_id"].split("/")[1] in r["video"]
    assert len({r["video"] for r in rows}) == len({r["audio"] for r in rows}) == len(rows)  # none twice
    assert voxceleb.clips(data(folder)).equals(table)


def test_no_recording_is_in_two_groups(folder):
    group = defaultdict(set)
    for r in voxceleb.clips(data(folder)).to_pylist():
        for path in (r["audio"], r["video"]):
            group[path.rsplit("/", 1)[0]].add(r["video_id"])
    assert all(len(ids) == 1 for ids in group.values())
    assert len({i for ids in group.values() for i in ids if i.startswith("Bob/")}) == 2


def test_only_recordings_of_one_video_where_that_is_asked_for(folder):
    rows = voxceleb.clips(data(folder, pair="video")).to_pylist()
    assert {r["subject"] for r in rows} == {"Ann"} and len(rows) == 4


def test_so_many_of_each_person_from_as_many_recordings(folder):
    rows = voxceleb.clips(data(folder, per_person=2)).to_pylist()
    assert sorted(r["subject"] for r in rows) == ["Ann", "Ann", "Bob", "Bob"]
    assert len({r["video_id"] for r in rows}) == 4


def test_who_and_what_is_left_out_is_told(folder):
    wanted = data(folder)
    lines = voxceleb.notes(wanted, voxceleb.clips(wanted))
    assert lines[0] == "1 people left out, who have no voice: Cid"
    assert lines[1] == "1 people left out, who have no face: Dee"
    assert any("faces in no clip" in line for line in lines[2:])


def test_names_and_ids_are_brought_together(tmp_path):
    put(tmp_path, "faces/A.J._Buckley/1.6/abc/1.jpg", "voices/id10001/abc/00001.wav")
    with pytest.raises(UserError, match="nobody has both a face and a voice.*put vox1_meta.csv beside"):
        voxceleb.clips(data(tmp_path))
    meta = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
    (tmp_path / "vox1_meta.csv").write_text(meta)
    [row] = voxceleb.clips(data(tmp_path)).to_pylist()
    assert row["subject"] == "A.J._Buckley" and row["video_id"] == "A.J._Buckley/abc"
    (tmp_path / "vox1_meta.csv").write_text(meta.replace("\t", ","))
    with pytest.raises(UserError, match="separated by tabs"):
        voxceleb.clips(data(tmp_path))


def test_flat_folders_of_faces(tmp_path):
    put(tmp_path, *(f"faces/Ann/{i}.jpg" for i in range(5)))
    put(tmp_path, *(f"voices/Ann/v{r}/{i}.wav" for r in range(2) for i in range(5)))
    rows = voxceleb.clips(data(tmp_path)).to_pylist()
    assert len(rows) == 5 and len({r["video_id"] for r in rows}) == 2


def test_nothing_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        voxceleb.clips(data(tmp_path))
    (tmp_path / "faces").mkdir()
    with pytest.raises(UserError, match="no pictures in folders of people there.*data.voxceleb.faces"):
        voxceleb.clips(data(tmp_path))
    put(tmp_path, "faces/Ann/1.jpg", "voices/1.wav")
    with pytest.raises(UserError, match="no sounds in folders of people there"):
        voxceleb.clips(data(tmp_path))
