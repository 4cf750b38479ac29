"""Test that any clips.csv and any published list is read, or is a UserError, never another exception."""

import csv
import io
import json
import math
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.config import read
from pipeline.errors import UserError
from pipeline.sources import ave, folder, music, vggsound
from pipeline.sources.audioset import lists
from pipeline.sources.folder import clips_csv
from pipeline.sources.vggsound import lists as vggsound_lists
from testing import defaults
from testing.strategies import ids, max_examples, text

names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda n: n.strip() == n and n not in (".", "..") and len(n.encode()) < 60)
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0;", exclude_categories=("Cs",)), max_size=8
)


@max_examples(100)
@given(
    st.lists(st.tuples(names, st.lists(words, max_size=3), words, ids), min_size=1, max_size=4), st.booleans()
)
def test_a_clips_csv_is_read_as_it_was_written(entries, quoted):
    """Paths, labels and subjects may contain quotes, line ends, commas and any letter."""
    rows = list({(f"{name}.mp4", row[-1]): (f"{name}.mp4", *row) for name, *row in entries}.values())
    assume(len({row[-1] for row in rows}) == len(rows))
    file = io.StringIO(newline="")
    out = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    out.writerow(["clip_id", "subject", "labels", "path"])
    for path, labels, subject, clip_id in rows:
        out.writerow([clip_id, subject, ";".join(labels), path])
    with tempfile.TemporaryDirectory() as root:
        for path, *_ in rows:
            Path(root, path).write_bytes(b"x")
        Path(root, "clips.csv").write_text(file.getvalue(), encoding="utf-8", newline="")
        table = folder.clips(SimpleNamespace(folder=root, pair="none")).table.to_pylist()
    assert len(table) == len(rows)
    for row, (path, labels, subject, clip_id) in zip(table, rows, strict=True):
        assert (row["video"], row["clip_id"]) == (f"{root}/{path}", clip_id)
        assert row["subject"] == (subject.strip() or None)
        normalized = [" ".join(label.split()) for label in ";".join(labels).strip().split(";")]
        assert row["labels"] == [label for label in dict.fromkeys(normalized) if label]


cells = (
    st.sampled_from(
        ["path", "start", "labels", "a.mp4", "clip_id", ",", ";", '"', '""', "\n", "\r", "\t", "\0", " "]
    )
    | text
)
documents = st.lists(cells, max_size=14).map("".join) | text


@max_examples(150)
@given(
    documents.map(lambda s: s.encode()) | st.binary(max_size=40),
    st.sampled_from([b"", b"path\n", b"path,start,end,split\n"]),
)
def test_any_clips_csv_is_read_or_a_user_error(content, head):
    with tempfile.TemporaryDirectory() as root:
        Path(root, "a.mp4").write_bytes(b"x")
        Path(root, "clips.csv").write_bytes(head + content)
        try:
            table = folder.clips(SimpleNamespace(folder=root, pair="none")).table
        except UserError as e:
            assert str(e).startswith(root) and "line " in str(e)
            assert all(line.isprintable() for line in str(e).splitlines())
            return
        assert len(table) and all(os.path.exists(row["video"]) for row in table.to_pylist())


@max_examples(60)
@given(st.floats() | st.integers(), st.sampled_from(["{}", "{:e}", "{:.3f}", "+{}", " {} ", "{}s"]))
def test_any_time_is_read_or_a_value_error(value, form):
    try:
        seconds = clips_csv._parse_seconds(form.format(value))
    except ValueError:
        return
    assert seconds >= 0 and math.isfinite(seconds)


SELECTION = {"labels": "labels.csv", "ontology": "ontology.json", "classes": ["Speech"], "descendants": True}
LABELS = 'index,mid,display_name\n0,/m/a,"Speech"\n'
ONTOLOGY = json.dumps([{"id": "/m/a", "name": "Speech", "child_ids": []}])
lines = st.lists(
    st.sampled_from(
        [
            "a",
            "/m/a",
            "0.0",
            "10.0",
            ",",
            ", ",
            '"',
            "\n",
            "#",
            "1e999",
            "nan",
            "-1",
            "index,mid,display_name",
        ]
    )
    | text,
    max_size=14,
).map("".join)
nodes = st.recursive(
    st.none() | st.integers() | text | st.sampled_from(["id", "/m/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "child_ids"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@max_examples(150)
@given(st.sampled_from(["train", "labels", "ontology"]), lines, nodes.map(json.dumps))
def test_any_list_of_audioset_is_read_or_a_user_error(which, csv_text, json_text):
    content = {"train": csv_text, "labels": csv_text, "ontology": json_text}[which]
    with tempfile.TemporaryDirectory() as root:
        texts = {"labels": LABELS, "ontology": ONTOLOGY, "train": ""} | {which: content}
        paths = {name: str(Path(root, name)) for name in texts}
        for name, path in paths.items():
            Path(path).write_text(texts[name], encoding="utf-8")
        try:
            selection = SimpleNamespace(**SELECTION | {k: paths[k] for k in ("labels", "ontology")})
            classes = lists.Classes.read(selection)
            segments = list(lists.read_segments(paths["train"], "data.audioset.train", classes))
        except UserError as e:
            assert str(e).startswith("data.audioset.")
            return
        assert all(0 <= s.start < s.end < math.inf and s.mids == ["/m/a"] * len(s.mids) for s in segments)


# --- lists of VGGSound, AVE and MUSIC -------------------------------------------------------------------

DATA = read(defaults.PARAMS).data
list_lines = st.lists(
    st.sampled_from(
        [
            "abcdefghijk,1,Bark,train",
            "abcdefghijk,1,Bark,test",
            "abcdefghijk_000001.mp4,Bark",
            "abcdefghijk,nan,Bark,test",
            '"',
            "",
            "Category&VideoID&Quality&StartTime&EndTime",
            "Bark&abcdefghijk&good&0&10",
            "Bark&../x&good&2&2",
            "Bark&abcdefghijk&good&nan&11",
            "abcdefghijk_000_00000",
        ]
    )
    | text,
    max_size=5,
).map("\n".join)
video_lists = st.recursive(
    st.none() | st.integers() | text | st.sampled_from(["videos", "data", "video_id", "abcdefghijk_000001"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["videos", "data", "video_id", "flute"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@max_examples(150)
@given(st.sampled_from([vggsound, ave, music]), list_lines, video_lists.map(json.dumps))
def test_any_published_list_is_read_or_a_user_error(source, lines, json_text):
    names = [*vggsound_lists.TEST_SUBSETS.values(), "music_solo_test.csv", "music_solo_train.txt", "list.csv"]
    names += ["Annotations.txt", "trainSet.txt", "valSet.txt", "testSet.txt"]
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            Path(root, name).write_text(json_text if name.endswith(".json") else lines, encoding="utf-8")
        Path(root, "videos.json").write_text(json_text, encoding="utf-8")
        data = DATA.model_copy(
            update={
                "folder": root,
                "subset_lists": root,
                "ave": DATA.ave.model_copy(update={"lists": root}),
                "music": DATA.music.model_copy(update={"lists": [f"{root}/videos.json"]}),
                "vggsound": DATA.vggsound.model_copy(
                    update={"list": f"{root}/list.csv", "subset": "retrieval_1545"}
                ),
            }
        )
        try:
            source.clips(data)
        except UserError as e:
            assert str(e).startswith("data.") and "\n" not in str(e)
