"""Test the source vggsound: both forms of its list, published subsets, limits, errors, the real lists."""

import gzip
import json

import pytest

from pipeline.config import ROOT, read
from pipeline.config.data import VGGSOUND_TEST_SUBSETS, VGGSOUND_TRAIN_SUBSETS
from pipeline.errors import UserError
from pipeline.sources import vggsound
from pipeline.sources.vggsound import lists
from testing import defaults

REAL = ROOT.parent / "shared/protocols"
DATA = read(defaults.PARAMS).data
LIST = """-abcdefghij,30,"playing flute, alone",train
bcdefghijkl,0,dog barking,test
bcdefghijkl,400,dog barking,train
cdefghijklm,7,dog barking,test
../x,1,dog barking,train
defghijklmn,12,duck quacking,train
"""
SUBSETS = {  # each has a clip of the other side, and one that is in no list
    "vgg_test_5_per_class_for_retrieval_template.json": json.dumps(
        {"data": [{"video_id": v} for v in ("cdefghijklm_000007", "-abcdefghij_000030", "gone_000001")]}
    ),
    "vggss_test.csv": "bcdefghijkl_000000\n",
    "vggss_heard.txt": "-abcdefghij_000030\ncdefghijklm_000007\n",
    "vggsounder.csv": "video_id,label,modality,background_music,static_image,voice_over\n"
    "cdefghijklm_000007,dog barking,AV,False,False,True\n"
    'cdefghijklm_000007,"wind noise, loud",A,False,False,True\n',
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vggsound.csv").write_text(LIST)
    for name, text in SUBSETS.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def data(folder, where="youtube", **changes):
    section = DATA.vggsound.model_copy(update={"list": str(folder / "vggsound.csv")} | changes)
    update = {"media": where, "folder": str(folder), "subset_lists": str(folder), "vggsound": section}
    return DATA.model_copy(update=update)


def rows(folder, **changes):
    return vggsound.clips(data(folder, **changes)).table.to_pylist()


def lines(folder, **changes):
    params = data(folder, **changes)
    return vggsound.clips(params).lines


def test_a_row_becomes_a_clip(folder):
    clips = rows(folder)
    assert [(clip["clip_id"], clip["split"]) for clip in clips[:3]] == [
        ("_-abcdefghij_000030", None),
        ("bcdefghijkl_000000", "test"),
        ("cdefghijklm_000007", "test"),
    ]
    assert clips[0]["labels"] == ["playing flute, alone"] and clips[0]["video_id"] == "-abcdefghij"
    assert clips[0]["video"] == "https://www.youtube.com/watch?v=-abcdefghij#t=30,40"
    assert clips[3]["video"] is None and clips[3]["clip_id"].startswith("line_")
    assert lines(folder) == [
        "1 clips for training left out, whose videos have clips in the test",
        "1 of 5 clips have an invalid id, or an unknown place: the stage download refuses them",
    ]


def test_in_a_folder_a_clip_is_a_cut_file(folder):
    (folder / "video").mkdir()
    (folder / "video/-abcdefghij_000030.mp4").write_bytes(b"x")
    clips = rows(folder, where="folder")
    assert clips[0]["audio"] == clips[0]["video"] == f"{folder}/video/-abcdefghij_000030.mp4"
    assert clips[0]["start"] is None and clips[0]["end"] is None
    assert lines(folder, where="folder")[2].startswith("3 of 5 clips (60.0%) have no file in")


def test_the_published_list_of_test_clips_has_two_columns(folder):
    (folder / "test.csv").write_text('-abcdefghij_000030.mp4,"playing flute, alone"\n')
    (clip,) = rows(folder, list=str(folder / "test.csv"))
    assert clip["clip_id"] == "_-abcdefghij_000030" and clip["split"] == "test"


def test_a_subset_is_the_test_split(folder):
    clips = rows(folder, subset="retrieval_1545")
    assert [c["clip_id"] for c in clips if c["split"] == "test"] == ["cdefghijklm_000007"]
    assert [c["clip_id"][:3] for c in clips if c["split"] is None] == ["_-a", "bcd", "lin", "def"]
    assert lines(folder, subset="retrieval_1545")[0] == (
        "data.vggsound.subset: retrieval_1545: 2 of its 3 clips are no test clips: -abcdefghij_000030, …"
    )
    clips = rows(folder, subset="vggsounder")
    (clip,) = [c for c in clips if c["split"] == "test"]
    assert clip["labels"] == ["dog barking", "wind noise, loud"] and clip["modality"] == ["AV", "A"]
    assert clips[0]["modality"] is None


def test_a_training_subset_has_no_test_clip(folder):
    changes = {"train_subset": "vggss_heard", "subset": "vggss"}
    assert [c["clip_id"] for c in rows(folder, **changes)] == ["_-abcdefghij_000030", "bcdefghijkl_000000"]
    assert lines(folder, **changes) == [
        "data.vggsound.train_subset: vggss_heard: 1 of its 2 clips are no training clips: cdefghijklm_000007,"
        " …"
    ]


def test_limits_leave_clips_out(folder):
    assert len(rows(folder, clips=2)) == 2
    assert len(rows(folder, per_class=1)) == 4
    assert "1 clips left out by data.vggsound.per_class and clips" in lines(folder, per_class=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,ten,flute,train\na,1,b\n", "line 1: not a YouTube id, .*: a,ten,flute,train; line 2: not"),
        ("a,1,flute,training\n", "line 1: not"),
        ("a_0001.mp4,flute\n", "line 1: not"),
        ("", "no clip is left"),
    ],
)
def test_an_invalid_list_is_an_error_of_one_line(folder, text, message):
    (folder / "vggsound.csv").write_text(text)
    with pytest.raises(UserError, match=f"^data.vggsound.*{message}") as e:
        rows(folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("subset", "text", "message"),
    [
        ("vggss", "a\n", "line 1: not a clip of VGGSound: a"),
        ("vggsounder", "a_000001,b,A\n", "its columns should be video_id, label"),
        ("retrieval_1545", "[]", "no list of clips under data"),
        ("retrieval_1545", '{"data": [{"video_id": "x"}]}', "no list of clips under data"),
        ("vggss_heard", None, "no vggss_heard_test.csv in"),
    ],
)
def test_an_invalid_subset_is_an_error_of_one_line(folder, subset, text, message):
    if text is not None:
        (folder / lists.TEST_SUBSETS[subset]).write_text(text)
    with pytest.raises(UserError, match=f"^data.subset_lists: .*{message}"):
        rows(folder, subset=subset)


def test_every_subset_can_be_asked_for():
    assert set(lists.TEST_SUBSETS) == set(VGGSOUND_TEST_SUBSETS)
    assert set(lists.TRAIN_SUBSETS) == set(VGGSOUND_TRAIN_SUBSETS)


# --- the real lists -------------------------------------------------------------------------------------

real = pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/protocols")


def published(**changes):
    params = data(REAL, list=str(REAL / "vggsound_test.csv.gz"), **changes)
    return vggsound.clips(params)


@real
@pytest.mark.parametrize(
    ("subset", "n_clips", "n_classes"),
    [
        (None, 15_446, 309),
        ("retrieval_1545", 1545, 309),
        ("vggsounder", 12_014, 309),
        ("vggsounder_background_music", 15_069, 309),
        ("vggss", 5158, 221),
        ("vggss_heard", 2564, 110),
        ("vggss_unheard", 2575, 110),
    ],
)
def test_every_row_of_the_real_lists_is_read(subset, n_clips, n_classes):
    table, lines = published(subset=subset)
    assert len(table) == n_clips and lines == [] and not table["video"].null_count
    assert len({label for labels in table["labels"].to_pylist() for label in labels}) == n_classes


@real
@pytest.mark.parametrize(
    ("subset", "n_clips"), [("vggss_10k", 10_000), ("vggss_144k", 144_000), ("vggss_heard", 59_468)]
)
def test_every_row_of_the_real_training_lists_is_reported(subset, n_clips):
    """The list of test clips has none of them: all are reported."""
    _, lines = published(train_subset=subset)
    assert f"{n_clips} of its {n_clips} clips are no training clips" in lines[0]
