"""Property tests: clip tables and shards are read back as written, or rejected with one line."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.store import clip_table
from pipeline.store.clip_table import from_rows
from pipeline.store.formats import Arrays, Files
from pipeline.store.shards import RETRIED_STATUSES, Shards
from pipeline.store.status import OK, STATUSES, Outcome, failed
from testing.strategies import ids, max_examples, odd_texts, seconds, text


@st.composite
def clip_rows(draw) -> list[dict]:
    row = st.fixed_dictionaries(
        {
            "clip_id": ids | text | odd_texts,
            "audio": st.none() | text | odd_texts,
            "video": st.none() | text | odd_texts,
            "start": seconds,
            "end": seconds,
            "labels": st.lists(text | odd_texts, max_size=3),
            "subject": st.none() | text | odd_texts,
            "split": st.sampled_from([None, None, None, "train", "val", "test", "", "dev"]),
        }
    )
    return draw(st.lists(row, max_size=4))


@max_examples(150)
@given(clip_rows())
def test_a_clip_table_is_read_back_as_written_or_rejected(rows):
    try:
        table = from_rows(rows)
    except UserError as e:
        assert len(str(e).splitlines()) == 1
        return
    for row in table.to_pylist():
        assert clip_table.CLIP_ID.fullmatch(row["clip_id"]) and row["split"] in (None, *clip_table.SPLITS)
        assert row["end"] is None or row["end"] > (row["start"] or 0.0) >= 0
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder) / "clips.parquet")
        table_read = clip_table.read(Path(folder) / "clips.parquet")
    assert table_read.equals(table) and table_read.to_pylist() == rows


@max_examples(60)
@given(
    st.lists(clip_rows(), min_size=1, max_size=1), st.sampled_from(["clip_id", "labels", "start", "split"])
)
def test_a_table_without_a_column_is_rejected(rows, column):
    with pytest.raises(UserError):
        clip_table.validate(pa.Table.from_pylist([], schema=clip_table.SCHEMA).drop_columns([column]), "t")


EXTRA = (("seconds", pa.float64()), ("times", pa.list_(pa.float64())))
extras = st.fixed_dictionaries(
    {},
    optional={
        "seconds": st.floats(allow_nan=False),
        "times": st.lists(st.floats(allow_nan=False), max_size=2),
    },
)
arrays = st.lists(st.floats(width=16), min_size=6, max_size=6).map(
    lambda v: np.array(v, np.float16).reshape(2, 3)
)
blobs = st.binary(max_size=20)
pairs = st.fixed_dictionaries(
    {
        kind: st.none() | st.fixed_dictionaries({"bytes": st.none() | blobs, "path": st.none() | text})
        for kind in ("audio", "video")
    }
)
STORES = {
    "arrays": (Arrays((2, 3), "float16"), arrays),
    "sounds": (Files(("audio",)), blobs),
    "media": (Files(("audio", "video")), pairs),
}


@st.composite
def outcome_lists(draw, values) -> list[Outcome]:
    reasons = st.sampled_from(sorted(STATUSES)).filter(lambda s: s != OK)
    good = st.builds(lambda value, detail, extra: Outcome(OK, detail, value, extra), values, text, extras)
    return draw(st.lists(good | st.builds(failed, reasons, text | odd_texts), max_size=6))


def same(a: object, b: object) -> bool:
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("kind", STORES)
@max_examples(60)
@given(st.data())
def test_a_shard_is_read_back_as_written(kind, data):
    """Values, reasons and extra columns; and again from `.old`, when the shard is stale."""
    store, values = STORES[kind]
    outcomes = data.draw(outcome_lists(values))
    clips_ = [{"clip_id": f"c{i}"} for i in range(len(outcomes))]
    keys_ = [f"k{i}" for i in range(len(outcomes))]
    good = {c["clip_id"]: o.value for c, o in zip(clips_, outcomes, strict=True) if o.status == OK}
    with tempfile.TemporaryDirectory() as folder:
        shards = Shards(Path(folder, "a"), store, EXTRA)
        assert shards.start_run([keys_]) == [0]
        shards.write_shard_index(0, shards.write_values(0, clips_, keys_, outcomes))
        index = shards.read_shard_index(shards.index_path(0))
        assert [r["clip_id"] for r in index.rows] == [c["clip_id"] for c in clips_]
        for row, outcome in zip(index.rows, outcomes, strict=True):
            assert (row["status"], row["detail"]) == (outcome.status, outcome.detail)
            assert all(row[name] == outcome.extra.get(name) for name, _ in EXTRA)
        values_read = shards.read_values(index)
        assert values_read.keys() == good.keys() and all(same(values_read[i], v) for i, v in good.items())
        assert len(shards.merge_indexes(1)) == len(clips_)
        final = [o.status not in RETRIED_STATUSES for o in outcomes]
        assert shards.start_run([keys_]) == ([] if outcomes and all(final) else [0])
        shards.start_run([["other"]])
        reusable = shards.reusable_rows()
        assert reusable.keys() == {k for k, is_final in zip(keys_, final, strict=True) if is_final}
        reused = shards.read_outcomes([reusable.get(k) for k in keys_])
        for actual, outcome, is_final in zip(reused, outcomes, final, strict=True):
            assert (actual is not None) == is_final
            if is_final:
                assert (actual.status, actual.detail) == (outcome.status, outcome.detail)
                assert same(actual.value, outcome.value)
                assert actual.extra == {name: outcome.extra.get(name) for name, _ in EXTRA}


@max_examples(60)
@given(st.lists(arrays, min_size=2, max_size=2))
def test_digests_differ_where_values_do(two):
    a, b = two
    assert (Arrays.digest(a) == Arrays.digest(b)) == (a.tobytes() == b.tobytes())
