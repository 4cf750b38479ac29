"""Labels from a list, joined by id."""

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.sources import labels
from pipeline.store import clip_table


def table():
    paths = {"a": "videos/a b.mp4", "b": "tar://512+1/x.tar::deep/-q_000030.mp4", "c": "videos/c.wav"}
    return clip_table.from_rows(
        [{"clip_id": i, "audio": path, "labels": ["old"], "split": "val"} for i, path in paths.items()]
    )


def join(folder: Path, text: str) -> tuple[list[dict], list[str]]:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    joined, lines = labels.join(table(), str(folder / "list.csv"))
    return joined.to_pylist(), [note.replace(f"{folder}/", "") for note in lines]


def test_a_list_with_a_header(tmp_path):
    text = "\ufeffID,labels,Speaker,split,place\na b.mp4,one;two,Ann,test,home\nb,,,,\nnobody,x,,,\n"
    (a, b, c), lines = join(tmp_path, text)
    assert (a["labels"], a["subject"], a["split"], a["place"]) == (["one", "two"], "Ann", "test", "home")
    assert (b["labels"], b["split"], b["place"]) == (["old"], "val", None)
    assert c["labels"] == ["old"] and "clip_id" in c
    assert lines == [
        "1 clips are not in list.csv: they keep the labels of the source",
        "1 of 3 clips in list.csv are not in the data",
    ]


def test_the_list_of_vggsound(tmp_path):
    (_, b, _), lines = join(tmp_path, "-q,30,dog barking,test\n-q,90,cat,train\n")
    assert (b["labels"], b["split"]) == (["dog barking"], "test") and len(lines) == 2


def test_several_rows_of_a_clip_are_several_labels(tmp_path):
    (_, _, c), _ = join(tmp_path, "file,label\nsome/where/c.wav,x\nc.wav,y\nc.wav,x\n")
    assert c["labels"] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("name of file,label\na,b\n", "no column with ids"),
        ("id,label\na\n", "row 1: 1 fields, not 2"),
        ("id,label\nz,b\n", "no row has the id of a clip: clips are 'a', 'b', …; ids in the list are 'z'"),
        ('id,label\n"a', "cannot be read (unexpected end of data)"),
    ],
)
def test_a_wrong_list_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError) as e:
        join(tmp_path, text)
    assert message in str(e.value) and "\n" not in str(e.value) and "list.csv" in str(e.value)


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"id,label\n\xff\xfe,b")
    with pytest.raises(UserError, match="cannot be read"):
        labels.join(table(), str(tmp_path / "list.csv"))
    with pytest.raises(UserError, match="cannot be read"):
        labels.join(table(), str(tmp_path / "none.csv"))
