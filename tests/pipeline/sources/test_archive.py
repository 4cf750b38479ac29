"""The source `archive`, with tars and Parquet files that the tests write."""

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.sources import archive
from pipeline.sources.archive import patterns, tar_index
from testing.archives import FILE, write_parquet, write_tar


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(archives=None, folder="."):
    return SimpleNamespace(archives=archives, folder=folder)


def rows(archives=None) -> list[dict]:
    return archive.clips(data(archives)).table.to_pylist()


def lines(archives=None) -> list[str]:
    return archive.clips(data(archives)).lines


def error_message(archives=None) -> str:
    with pytest.raises(UserError) as e:
        archive.clips(data(archives))
    assert "\n" not in str(e.value)
    return str(e.value)


def outcomes(archives=None) -> dict[str, str]:
    """Return clip id -> status and detail of the stage download."""
    fetched = {r["clip_id"]: archive.fetch(r, data(archives)) for r in rows(archives)}
    return {clip_id: f"{o.status} {o.detail}".strip() for clip_id, o in fetched.items()}


def test_ids_of_packs_stay_and_without_validation_some_of_train_is_free(folder):
    for split in ("train", "test"):
        write_tar(folder / f"{split}-0.tar", [(f"{split}-42782be024f5.mp4", b"1"), (f"{split} b.mp4", b"2")])
    by_id = {r["clip_id"]: r["split"] for r in rows()}
    assert by_id["train-42782be024f5"] is None and by_id["test-42782be024f5"] == "test"
    assert any("no clip is for validation" in line for line in lines())
    write_tar(folder / "val-0.tar", [("v.mp4", b"1")])
    assert {r["split"] for r in rows()} == {"train", "val", "test"} and not lines()


# --- WebDataset -----------------------------------------------------------------------------------


def test_members_with_one_key_are_one_clip(folder):
    facts = {"label": "Flute", "speaker": 7, "split": "validation", "caption": "a flute", "start": 30.0}
    members = [("a/x.mp4", b"1"), ("a/x.json", json.dumps(facts).encode()), ("b.FLAC", b"2"), ("b.jpg", b"3")]
    members += [("b.cls", b"Drum\n"), ("c.wav", b"4"), ("c.txt", b"one\ntwo\n"), ("d.png", b"5")]
    write_tar(folder / "0.tar", members)
    x, b, c, d = rows("0.tar")
    assert (x["clip_id"], x["labels"], x["subject"], x["split"]) == ("x", ["Flute"], "7", "val")
    assert x["audio"] == x["video"] and x["audio"].endswith("/0.tar::a/x.mp4")
    assert x["caption"] == "a flute" and x["start"] is None  # the clip is cut already
    assert b["audio"].endswith("::b.FLAC") and b["video"].endswith("::b.jpg") and b["labels"] == ["Drum"]
    assert c["video"] is None and c["labels"] == ["one", "two"] and c["text"] == "one two"
    assert d["audio"] is None and d["labels"] == []
    assert lines("0.tar") == []


def test_keys_end_at_the_first_dot_where_facts_say_so(folder):
    members = [
        ("v1.5 a.mp4", b"1"),
        ("v1.6 b.mp4", b"2"),
        ("x.01.png", b"3"),
        ("x.wav", b"4"),
        ("x.00.png", b"5"),
    ]
    write_tar(folder / "0.tar", [*members, ("x.json", b'{"clip_id": "my x", "label": "a"}')])
    a, b, x = rows("0.tar")
    assert (a["video_id"], b["video_id"], x["video_id"]) == ("v1.5 a", "v1.6 b", "x")
    assert x["clip_id"].startswith("my_x-") and x["labels"] == ["a"]
    assert x["video"].endswith("::x.01.png") and x["audio"].endswith("::x.wav")
    assert "whose key has another one: 'x.00.png'" in lines("0.tar")[0]


def test_what_is_in_no_clip_is_a_line(folder):
    members = [
        ("x.mp4", b"1"),
        ("y.json", b"{}"),
        ("x.jpg", b"2"),
        ("z.npy", b"3"),
        ("x.json", b"[1"),
        ("x.mp4", b"4"),
    ]
    write_tar(folder / "0.tar", members)
    (clip,) = rows("0.tar")
    with tarfile.open("0.tar") as tar:
        assert f"tar://{tar.getmembers()[-1].offset_data}+1/" in clip["video"]  # the last, as it is unpacked
    text = "\n".join(lines("0.tar"))
    assert "1 members not media by extension, left out: 1 npy" in text
    assert "1 members are there twice, the last is used: 'x.mp4'" in text
    assert "1 keys without media, left out: 'y'" in text
    assert "whose key has another one: 'x.jpg'" in text
    assert "x.json (not JSON)" in text


def test_ids_are_unique_and_the_same_wherever_the_archives_are(folder):
    for place in ("one", "two"):
        (folder / place).mkdir()
        write_tar(folder / place / "0.tar", [("a/x.mp4", b"1"), ("b/x.mp4", b"1"), ("only.mp4", b"2")])
        write_tar(folder / place / "1.tar", [("a/x.mp4", b"1"), ("-y.mp4", b"2")])
    ids = [r["clip_id"] for r in rows("one/*.tar")]
    assert len(set(ids)) == 5 and "only" in ids
    assert ids == [r["clip_id"] for r in rows("two/*.tar")]


def test_splits_by_the_names_of_archives(folder):
    for name in ("train-0", "train-1", "validation-0", "testing-is-no-split"):
        write_tar(folder / f"{name}.tar", [(f"{name}.mp4", b"1")])
    splits = {r["clip_id"]: r["split"] for r in rows()}
    assert splits == {
        "train-0": "train",
        "train-1": "train",
        "validation-0": "val",
        "testing-is-no-split": None,
    }
    assert [r["split"] for r in rows("train-*.tar")] == [None, None]  # there is nothing to test on


# --- which archives -------------------------------------------------------------------------------


def test_globs_braces_and_folders(folder):
    (folder / "in").mkdir()
    for i in range(12):
        write_tar(folder / "in" / f"{i:03d}.tar", [(f"{i}.mp4", b"1")])
    assert len(rows("in/{000..009}.tar")) == 10
    assert len(rows(["in/00?.tar", "in/{010,011}.tar", "in/000.tar"])) == 12
    assert [r["clip_id"] for r in rows("in")] == [str(i) for i in range(12)]
    assert rows() == rows("./in")
    assert "in/012.tar" in error_message("in/{010..012}.tar") and "data.archives" in error_message("x/*.tar")
    assert "in/{0" in error_message("in/{0")
    assert "more than 100000" in error_message("in/{0..999999999}.tar")
    assert "use a path, or a URL" in error_message("github://a:b@c/d.tar")


def test_an_index_is_made_once(folder, monkeypatch):
    write_tar(folder / "0.tar", [("x.mp4", b"1"), ("x.cls", b"a")])
    first = rows("0.tar")
    monkeypatch.setattr(tar_index, "list_members", None)
    assert rows("0.tar") == first
    write_tar(folder / "0.tar", [("longer.mp4", b"1" * 2000)] * 20)
    with pytest.raises(TypeError):  # another tar needs another index
        rows("0.tar")


def test_find_members_by_name(folder):
    write_tar(folder / "0.tar", [("deep/in/abc_000030.mp4", b"1"), ("abc_000030.json", b"{}")])
    write_tar(folder / "1.tar", [("-x_000001.webm", b"1")])
    members = archive.find_members(archive.find_archives(["*.tar"]))
    assert members.keys() == {"abc_000030", "-x_000001"} and "0.tar::deep" in members["abc_000030"]


# --- Parquet --------------------------------------------------------------------------------------


def test_rows_of_parquet_are_clips(folder):
    cells = [{"bytes": b"1", "path": "p/a.wav"}, None, {"bytes": b"3", "path": "c.wav"}]
    table = [
        {"audio": cell, "image": {"bytes": b"4", "path": None}, "label": i, "id": f"clip {i}", "n": i / 2}
        for i, cell in enumerate(cells)
    ]
    write_parquet(folder / "0.parquet", table, ("audio", "image"), group_size=2)
    a, b, c = rows()
    assert a["audio"] == "parquet://0.0.audio.bytes/./0.parquet::a.wav" and b["audio"] is None
    assert c["audio"].startswith("parquet://1.0.") and c["video"].endswith("::000002.jpg")
    assert (a["labels"], c["n"], c["video_id"]) == (["0"], "1.0", "clip 2")
    assert set(outcomes().values()) == {"ok"}


def test_features_of_datasets(folder):
    features = {
        "s": {"_type": "Audio"},
        "p": {"_type": "Image"},
        "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
    }
    table = pa.table(
        {"s": pa.array([{"bytes": b"1", "path": None}], FILE), "p": pa.array([b"2"]), "label": [1]}
    )
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "0.parquet")
    (row,) = rows()
    assert row["labels"] == ["yes"] and ".s.bytes/" in row["audio"] and ".p/" in row["video"]
    assert row["audio"].endswith(".wav") and row["video"].endswith(".jpg")


def test_parquet_without_media_and_torn_parquet(folder):
    write_parquet(folder / "0.parquet", [{"text": "a", "label": 1}], ())
    assert "no column has media" in error_message() and "'text', 'label'" in error_message()
    content = (folder / "0.parquet").read_bytes()
    (folder / "0.parquet").write_bytes(content[:-20])
    assert "0.parquet" in error_message()


# --- many -----------------------------------------------------------------------------------------


def test_ten_thousand_members(folder):
    buffer = io.BytesIO()
    header = tarfile.TarInfo("x")
    header.size = 1
    for i in range(5000):
        for extension in ("mp4", "cls"):
            header.name = f"{i:04d}.{extension}"
            buffer.write(header.tobuf(tarfile.USTAR_FORMAT) + b"1" + bytes(511))
    (folder / "0.tar").write_bytes(buffer.getvalue())
    table = archive.clips(data("0.tar")).table
    assert table.num_rows == 5000 and table["labels"].to_pylist() == [["1"]] * 5000
    assert patterns.find_archives(["."]) == ["./0.tar"]
