"""Test the source audioset: rows of the lists, selection of classes, limits, splits, downloads of lists."""

import json
import threading

import pytest

from pipeline.config import ROOT, read
from pipeline.errors import UserError
from pipeline.sources import audioset
from pipeline.sources.audioset import lists
from pipeline.sources.published import list_files
from testing import defaults
from testing.video_server import Server

REAL = ROOT.parent / "shared/audioset"
DATA = read(defaults.PARAMS).data
LABELS = """index,mid,display_name
0,/m/a,"Speech"
1,/m/b,"Guitar"
2,/m/c,"Acoustic guitar"
3,/m/d,"Dental drill, dentist's drill"
4,/m/e,"Drill, tool"
5,/m/f,"Drill, army"
"""
ONTOLOGY = [
    {"id": "/m/a", "name": "Speech", "child_ids": []},
    {"id": "/m/b", "name": "Guitar", "child_ids": ["/m/c"]},
    {"id": "/m/c", "name": "Acoustic guitar", "child_ids": []},
    {"id": "/m/z", "name": "Bugle", "child_ids": []},
]
SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=4, num_segs=4, num_unique_labels=3, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
-abcdefghij, 30.000, 40.000, "/m/a,/m/b"
bcdefghijkl, 0.000, 10.000, "/m/c"
../x, 0.000, 10.000, "/m/c"
cdefghijklm, 5.500, 9.250, "/m/d"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "ontology.json").write_text(json.dumps(ONTOLOGY))
    (tmp_path / "train list.csv").write_text(SEGMENTS)
    (tmp_path / "eval.csv").write_text('evalevaleva, 1.0, 11.0, "/m/b"\n')
    return tmp_path


def data_params(**changes):
    values = {"train": ["train list.csv"], "eval": ["eval.csv"], "labels": "labels.csv"}
    values |= {"ontology": "ontology.json", "classes": "all", "descendants": False}
    return DATA.model_copy(update={"audioset": DATA.audioset.model_copy(update=values | changes)})


def rows(**changes):
    return audioset.clips(data_params(**changes)).table.to_pylist()


def test_a_row_becomes_a_clip(folder):
    first, second, third, fourth, last = rows()
    assert first["clip_id"] == "_-abcdefghij_30" and first["labels"] == first["audioset"] == [
        "Speech",
        "Guitar",
    ]
    assert first["audio"] == first["video"] == "https://www.youtube.com/watch?v=-abcdefghij#t=30,40"
    assert (first["start"], first["end"], first["split"], first["video_id"]) == (
        None,
        None,
        None,
        "-abcdefghij",
    )
    assert fourth["video"].endswith("#t=5.5,9.25") and fourth["clip_id"] == "cdefghijklm_5.5"
    assert last["split"] == "test" and last["clip_id"] == "evalevaleva_1"
    # An invalid video id: a row that will be refused, with a safe clip id.
    assert third["video"] is None and third["clip_id"].startswith("line_") and third["video_id"] == "../x"
    data = data_params()
    assert audioset.clips(data).lines == [
        "1 segments have an invalid video id: the stage download will refuse them",
        "2 of the classes have no clip: Drill, tool, Drill, army",
    ]


def test_comment_lines_may_be_missing(folder):
    before = rows()
    (folder / "train list.csv").write_text("\n".join(SEGMENTS.splitlines()[3:]))
    assert rows() == before


@pytest.mark.parametrize(
    ("classes", "descendants", "expected"),
    [
        (["guitar"], False, {"Guitar": 2}),
        (["Guitar"], True, {"Guitar": 4}),
        (["/m/c", "Speech"], False, {"Acoustic guitar": 2, "Speech": 1}),
        (["Dental drill"], False, {"Dental drill, dentist's drill": 1}),
        (["Guitar", "Acoustic guitar"], True, {"Guitar": 4, "Acoustic guitar": 2}),
    ],
)
def test_classes_by_name_id_and_descendants(folder, classes, descendants, expected):
    counts = {}
    for row in rows(classes=classes, descendants=descendants):
        for label in row["labels"]:
            counts[label] = counts.get(label, 0) + 1
    assert counts == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gitar", r"no class 'Gitar': did you mean 'Guitar'\?"),
        ("Drill", r"no class 'Drill': it may be 'Drill, army' or 'Drill, tool'"),
        ("/m/nowhere", "no class '/m/nowhere'"),
    ],
)
def test_an_unknown_class_names_the_nearest(folder, name, message):
    with pytest.raises(UserError, match=message):
        rows(classes=[name])


def test_limits_hold_and_a_higher_limit_only_adds_clips(folder):
    lines = [f'v{i:010d}, 0.0, 10.0, "{"/m/a" if i % 3 else "/m/b"}"' for i in range(60)]
    (folder / "train list.csv").write_text("\n".join(lines))
    few, more = (rows(per_class=n, eval=[]) for n in (5, 12))
    assert sum(r["labels"] == ["Speech"] for r in few) == sum(r["labels"] == ["Guitar"] for r in few) == 5
    assert {r["clip_id"] for r in few} < {r["clip_id"] for r in more}
    assert [r["clip_id"] for r in more] == sorted(r["clip_id"] for r in more)  # in the list's order
    assert len(rows(clips=7, eval=[])) == 7 and rows(clips=7, eval=[]) != rows(clips=7, eval=[], seed=1)


def test_a_segment_in_both_sets_is_for_testing(folder):
    (folder / "eval.csv").write_text('bcdefghijkl, 0.000, 10.000, "/m/c"\n')
    splits = {r["clip_id"]: r["split"] for r in rows()}
    assert splits["bcdefghijkl_0"] == "test" and len(splits) == 4


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train list.csv", 'a, 0.0, 10.0, "/m/a\nb, 0.0, 10.0, "/m/a"\n', "broken quoting"),
        ("train list.csv", "a, 0.0\n", "line 1: not a video, a start, an end and its labels: a,0.0"),
        ("train list.csv", 'a, 10.0, 5.0, "/m/a"\n', "line 1: a from 10.0 s to 5.0 s"),
        (
            "train list.csv",
            'a, 0.0, 5.0, "/m/new"\n',
            "/m/new is not in data.audioset.labels .* different versions",
        ),
        ("train list.csv", "# nothing\n", "none of 1 segments|none of"),
        ("labels.csv", "mid,name\n/m/a,Speech\n", "its columns should be index, mid, display_name"),
        ("labels.csv", "index,mid,display_name\n0,Speech,/m/a\n", "line 2: not an index, an id and a name"),
        ("ontology.json", "[]x", "not JSON"),
        (
            "ontology.json",
            '[{"id": "/m/a", "name": "A", "child_ids": ["/m/gone"]}]',
            "/m/gone, a child of /m/a",
        ),
    ],
)
def test_an_invalid_list_is_an_error_of_one_line(folder, file, content, message):
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=message) as e:
        rows(eval=[], classes=["Speech"])
    assert "\n" not in str(e.value) and "data.audioset" in str(e.value)


def test_a_missing_list_is_an_error_of_one_line(folder):
    with pytest.raises(UserError, match="data.audioset.train: gone.csv: no such file"):
        rows(train=["gone.csv"])
    with pytest.raises(
        UserError, match="data.audioset.labels: http://127.0.0.1:9/x.csv: cannot be downloaded"
    ):
        rows(labels="http://127.0.0.1:9/x.csv")


def test_a_list_is_downloaded_once(folder):
    server = Server(SEGMENTS.encode())
    threads = threading.active_count()  # some may be of other tests
    try:
        before = rows()
        assert rows(train=[f"{server.url}segments.csv"]) == before
        assert rows(train=[f"{server.url}segments.csv"]) == before and server.requests == ["segments"]
        with pytest.raises(UserError, match="status 404"):
            rows(train=[f"{server.url}x-404.csv"])
        with pytest.raises(UserError, match="cannot be downloaded|only .* bytes were downloaded"):
            rows(train=[f"{server.url}x-cut.csv"])
        assert [p.suffix for p in list_files.LISTS.iterdir()] == [".csv"]
        assert threading.active_count() < threads + 10  # of the server
    finally:
        server.stop()


# --- the real lists -------------------------------------------------------------------------------------

real = pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/audioset")


def published(**changes):
    names = {"labels": "class_labels_indices.csv", "ontology": "ontology.json"}
    paths = {key: str(REAL / name) for key, name in names.items()}
    return data_params(**{"train": [str(REAL / "balanced_train_segments.csv")], "eval": []} | paths | changes)


@real
def test_every_row_of_the_real_list_is_read():
    table = audioset.clips(published()).table
    lines = (REAL / "balanced_train_segments.csv").read_text().splitlines()
    assert len(table) == len(lines) == 22160 and not table["video"].null_count
    assert len({label for names in table["labels"].to_pylist() for label in names}) == 527


@real
@pytest.mark.parametrize(("preset", "classes", "clips"), [("musical", 48, 2730), ("five", 5, 535)])
def test_the_presets_are_classes_of_the_real_lists(preset, classes, clips):
    data = published(classes=preset)
    table, lines = audioset.clips(data)
    assert len({label for names in table["labels"].to_pylist() for label in names}) == classes
    assert len(table) == clips
    line = "2 of the classes have no clip: Bugle, Musical ensemble"  # only in the ontology
    assert lines == ([line] if preset == "musical" else [])


def test_the_presets_have_the_published_number_of_classes():
    assert len(set(lists.MUSICAL)) == 50 and len(set(lists.FIVE)) == 5
