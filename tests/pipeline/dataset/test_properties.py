"""Properties of the splits of any clips."""

import math
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.split import assign_splits
from pipeline.errors import UserError
from pipeline.store.clip_table import from_rows
from testing.strategies import max_examples


@st.composite
def groups_of_clips(draw, with_splits: bool = False) -> list[dict]:
    """Clips of some videos and people; with `with_splits`, some have a split from the source."""
    count = draw(st.integers(1, 25))
    videos = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    video_split = {v: draw(st.sampled_from([None, "train", "val", "test"])) for v in sorted(set(videos))}
    return [
        {
            "clip_id": f"c{i}",
            "audio": f"v{v}.mp4",
            "video": f"v{v}.mp4",
            "labels": [],
            "subject": f"s{v // 2}",
        }
        | ({"split": draw(st.sampled_from([None, video_split[v]]))} if with_splits else {})
        for i, v in enumerate(videos)
    ]


def split_by_clip_id(rows: list[dict], **changes) -> dict[str, str]:
    values = {"by": "video", "own": True, "val": 0.2, "test": 0.3, "seed": 0, "folds": None}
    settings = SimpleNamespace(**values | changes)
    ok = {"status": "ok", "detail": "", "seconds": 2.0}
    index = pa.Table.from_pylist([{"clip_id": r["clip_id"]} | ok for r in rows])
    return {
        r["clip_id"]: r["split"]
        for r in assign_splits(from_rows(rows), index, index, settings, 1.0).to_pylist()
    }


@max_examples(100)
@given(groups_of_clips(), st.randoms(), st.data(), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_a_split_does_not_depend_on_other_clips(rows, random, data, by, seed):
    whole = split_by_clip_id(rows, by=by, seed=seed)
    shuffled = random.sample(rows, len(rows))
    assert split_by_clip_id(shuffled, by=by, seed=seed) == whole
    subset = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=lambda r: r["clip_id"]))
    assert split_by_clip_id(subset, by=by, seed=seed) == {r["clip_id"]: whole[r["clip_id"]] for r in subset}


@max_examples(100)
@given(groups_of_clips(with_splits=True), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_no_group_is_in_two_splits(rows, by, seed):
    """A group that the source itself puts into two splits is an error."""
    column = "video" if by == "video" else "subject"
    source_splits = {}
    for row in rows:
        source_splits.setdefault(row[column], set()).update({row["split"]} - {None})
    conflicts = [name for name, splits in source_splits.items() if len(splits) > 1]
    if conflicts:
        with pytest.raises(UserError, match="two splits"):
            split_by_clip_id(rows, by=by, seed=seed)
        return
    split_of = split_by_clip_id(rows, by=by, seed=seed)
    assert len({(r[column], split_of[r["clip_id"]]) for r in rows}) == len({r[column] for r in rows})
    assert all(split_of[r["clip_id"]] == r["split"] for r in rows if r["split"])


@max_examples(20)
@given(st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 2**32 - 1))
def test_shares_are_near_the_settings(val, test, seed):
    rows = [{"clip_id": f"c{i}", "video": f"v{i}.mp4", "labels": []} for i in range(1000)]
    splits = list(split_by_clip_id(rows, val=val, test=test, seed=seed).values())
    for name, share in (("val", val), ("test", test), ("train", 1 - val - test)):
        assert abs(splits.count(name) / 1000 - share) < 5 * math.sqrt(share * (1 - share) / 1000)
