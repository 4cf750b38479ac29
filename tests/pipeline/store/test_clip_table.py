import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.store import clip_table


def row(clip_id="a", **fields):
    return {"clip_id": clip_id, "audio": "a.mp4", "video": "a.mp4", "labels": ["Flute"], **fields}


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [
        row("a", start=0.5, end=2.0, subject="Ann", split="train"),
        row("b-2.x", audio=None, labels=[]),
        row("_c", video=None, labels=["Flöte", "鳥"], start=3.0),
    ]
    table = clip_table.from_rows(rows)
    path = tmp_path / "clips.parquet"
    pq.write_table(table, path)
    table_read = clip_table.read(path)
    assert table_read.equals(table)
    assert table_read.schema.names == clip_table.SCHEMA.names
    assert table_read.to_pylist()[1] == {
        "clip_id": "b-2.x", "audio": None, "video": "a.mp4", "start": None, "end": None,
        "labels": [], "subject": None, "split": None,
    }  # fmt: skip


def test_an_empty_table_is_valid():
    assert len(clip_table.from_rows([])) == 0


def test_extra_columns_follow():
    extra = pa.schema([("box", pa.list_(pa.float64()))])
    table = clip_table.from_rows([row(box=[0.0, 0.1, 0.5, 0.9])], extra)
    assert table.schema.names == [*clip_table.SCHEMA.names, "box"]
    assert clip_table.validate(table, "t")["box"].to_pylist() == [[0.0, 0.1, 0.5, 0.9]]


@pytest.mark.parametrize("clip_id", ["a", "_", "0", "A.b-c_9", "a..b", "x" * 200])
def test_safe_ids(clip_id):
    assert clip_table.from_rows([row(clip_id)])["clip_id"].to_pylist() == [clip_id]


@pytest.mark.parametrize(
    "clip_id", ["", "-a", ".a", "..", "a/b", "a\\b", "a b", "a\n", "a\0", "é", "a:b", "x" * 201, None]
)
def test_unsafe_ids(clip_id):
    with pytest.raises(UserError, match="not safe as a file name"):
        clip_table.validate(pa.Table.from_pylist([row(clip_id)], schema=clip_table.SCHEMA), "t")


@given(st.text(min_size=1, max_size=8))
def test_ids_never_name_a_path_or_an_option(text):
    if clip_table.CLIP_ID.fullmatch(text):
        assert not set(text) & set("/\\\0\n :") and text[0] not in ".-" and text.isascii()


@pytest.mark.parametrize(
    "rows, message",
    [
        ([row("a"), row("b"), row("a")], "'a' occurs twice"),
        ([row(split="dev")], "unknown split 'dev'"),
        ([row(split="")], "unknown split ''"),
        ([row(start=2.0, end=1.0)], "'a' ends at 1.0 s, before it starts"),
        ([row(start=2.0, end=2.0)], "ends at 2.0 s"),
        ([row(end=0.0)], "ends at 0.0 s"),
        ([row(start=float("nan"))], "'a'.*nan"),
        ([row(end=float("nan"))], "'a'.*nan"),
        ([row(end=float("inf"))], "'a'.*inf"),
        ([row(start=-1.0)], "'a'.*-1"),
    ],
)
def test_an_invalid_row_is_one_line(rows, message):
    with pytest.raises(UserError, match=message) as e:
        clip_table.from_rows(rows)
    assert "\n" not in str(e.value)


def test_the_message_names_the_row_that_ends_too_early():
    with pytest.raises(UserError, match="clip 'c' ends"):
        clip_table.from_rows([row("a"), row("b", start=1.0), row("c", start=3.0, end=2.0)])


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"clip_id": ["a"]}),
        pa.table({}),
        clip_table.SCHEMA.empty_table().select(list(reversed(clip_table.SCHEMA.names))),
        clip_table.SCHEMA.empty_table().set_column(3, "start", pa.array([], pa.float32())),
        clip_table.SCHEMA.empty_table().set_column(5, "labels", pa.array([], pa.string())),
    ],
)
def test_other_columns_are_not_a_clip_table(table, tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(table, path)
    with pytest.raises(UserError, match="not a clip table: columns must begin with clip_id, audio"):
        clip_table.read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"clip_id,audio\n", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_a_file_that_is_not_parquet(content, tmp_path):
    path = tmp_path / "clips.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a Parquet file") as e:
        clip_table.read(path)
    assert "\n" not in str(e.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="run the stage clips first"):
        clip_table.read(tmp_path / "none.parquet")
