"""Test the source music: solos and duets, parts of videos, published subsets, errors, the real lists."""

import gzip
import json

import pytest

from pipeline.config import ROOT, read
from pipeline.errors import UserError
from pipeline.sources import music
from testing import defaults

REAL = ROOT.parent / "shared/protocols"
DATA = read(defaults.PARAMS).data
SOLO = {"version": 1.0, "videos": {"flute": ["-abcdefghij", "bcdefghijkl"], "cello": ["cdefghijklm"]}}
DUET = {"version": 1.0, "videos": {"cello acoustic_guitar": ["defghijklmn"]}}
FRAMES = {
    "music_solo_train.txt": "-abcdefghij_053_01611,flute\n-abcdefghij_053_01604,flute\n"
    "-abcdefghij_054_01620,flute\n",
    "music_solo_test.csv": "cdefghijklm_000_00000,cello\nunknownxxxx_000_00000,cello\n",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "solo.json").write_text(json.dumps(SOLO))
    (tmp_path / "duet.json").write_text(json.dumps(DUET))
    for name, text in FRAMES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def data(folder, where="folder", names=("solo.json", "duet.json"), **changes):
    section = DATA.music.model_copy(update={"lists": [str(folder / name) for name in names]} | changes)
    update = {"media": where, "folder": str(folder), "subset_lists": str(folder), "music": section}
    return DATA.model_copy(update=update)


def rows(folder, **changes):
    return music.clips(data(folder, **changes)).table.to_pylist()


def test_a_clip_is_a_part_of_a_video(folder):
    (folder / "solo/flute").mkdir(parents=True)
    (folder / "solo/flute/-abcdefghij.webm").write_bytes(b"x")
    clips = rows(folder, per_video=2, seconds=6.0)
    assert len(clips) == 8 and {clip["split"] for clip in clips} == {None}
    assert [(clip["clip_id"], clip["start"], clip["end"]) for clip in clips[:2]] == [
        ("_-abcdefghij_0", 0.0, 6.0),
        ("_-abcdefghij_6", 6.0, 12.0),
    ]
    assert clips[0]["video"] == f"{folder}/solo/flute/-abcdefghij.webm"
    assert clips[0]["labels"] == ["flute"] and clips[-1]["labels"] == ["cello", "acoustic_guitar"]
    (clip,) = rows(folder, where="youtube", names=("duet.json",))
    assert clip["video"] == "https://www.youtube.com/watch?v=defghijklmn#t=0,10"


def test_a_subset_has_the_seconds_and_the_split_of_its_lists(folder):
    params = data(folder, where="youtube", subset="avgn_solo")
    table, lines = music.clips(params)
    assert [(c["video_id"], c["video"].rpartition("=")[2], c["split"]) for c in table.to_pylist()] == [
        ("-abcdefghij", "53,54", None),
        ("-abcdefghij", "54,55", None),
        ("cdefghijklm", "0,1", "test"),
    ]
    assert lines == [
        "1 videos of data.music.subset: avgn_solo are not in data.music.lists, left out: unknownxxxx, …",
        "2 of 4 videos of data.music.lists are not in the subset, left out",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no YouTube ids by instrument under videos"),
        ('{"videos": {"flute": 1}}', "no YouTube ids by instrument under videos"),
        ('{"videos": {"flute": [[1]]}}', "no YouTube ids by instrument under videos"),
        ('{"videos": {"flute": [1]}}', "a YouTube id under videos is no text"),
        ("{", "not JSON"),
        (r'{"videos": {"\ud800": ["a"]}}', "not JSON"),
    ],
)
def test_an_invalid_list_is_an_error_of_one_line(folder, content, message):
    (folder / "solo.json").write_text(content)
    with pytest.raises(UserError, match=f"^data.music.lists: .*{message}"):
        rows(folder)


def test_an_invalid_subset_is_an_error_of_one_line(folder):
    (folder / "music_solo_test.csv").write_text("cdefghijklm_0_0,cello\n")
    with pytest.raises(UserError, match="^data.subset_lists: .*line 1: not <YouTube id>_<second>_<frame>"):
        rows(folder, subset="avgn_solo")
    with pytest.raises(UserError, match="^data.subset_lists: no music_duet_train.txt in"):
        rows(folder, subset="avgn_duet")


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/protocols")
@pytest.mark.parametrize(
    ("subset", "n_train", "n_test"), [("avgn_solo", 11_133, 545), ("avgn_duet", 12_087, 267)]
)
def test_every_row_of_the_real_lists_is_read(tmp_path, subset, n_train, n_test):
    """The videos are those of the frames, since the lists of videos have no licence."""
    videos: dict[str, list[str]] = {}
    for file, _ in music.SUBSETS[subset]:
        path = REAL / file
        text = (
            path.read_text()
            if path.exists()
            else gzip.decompress((REAL / f"{file}.gz").read_bytes()).decode()
        )
        for line in text.splitlines():
            frame, *labels = line.split(",")
            videos.setdefault(" ".join(labels) or "unknown", []).append(frame[:11])
    (tmp_path / "videos.json").write_text(json.dumps({"videos": videos}))
    params = data(tmp_path, where="youtube", names=("videos.json",), subset=subset)
    params = params.model_copy(update={"subset_lists": str(REAL)})
    table, lines = music.clips(params)
    splits = table["split"].to_pylist()
    assert (splits.count(None), splits.count("test")) == (n_train, n_test)
    assert lines == []
