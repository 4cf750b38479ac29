"""What must hold for the splits of any clips."""

import math
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.split import assign
from pipeline.errors import UserError
from pipeline.store.clip_table import from_rows
from testing.strategies import some


@st.composite
def groups_of_clips(draw, given_splits: bool = False) -> list[dict]:
    """Clips of some videos and people, in any order; with `given_splits`, a source's own for some."""
    count = draw(st.integers(1, 25))
    videos = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    own = {v: draw(st.sampled_from([None, "train", "val", "test"])) for v in sorted(set(videos))}
    return [
        {
            "clip_id": f"c{i}",
            "audio": f"v{v}.mp4",
            "video": f"v{v}.mp4",
            "labels": [],
            "subject": f"s{v // 2}",
        }
        | ({"split": draw(st.sampled_from([None, own[v]]))} if given_splits else {})
        for i, v in enumerate(videos)
    ]


def sides(rows: list[dict], **changes) -> dict[str, str]:
    how = SimpleNamespace(**{"by": "video", "own": True, "val": 0.2, "test": 0.3, "seed": 0} | changes)
    fine = {"status": "ok", "detail": "", "seconds": 2.0}
    index = pa.Table.from_pylist([{"clip_id": r["clip_id"]} | fine for r in rows])
    return {r["clip_id"]: r["split"] for r in assign(from_rows(rows), index, index, how, 1.0).to_pylist()}


@some(100)
@given(groups_of_clips(), st.randoms(), st.data(), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_no_clip_moves_because_of_others(rows, random, data, by, seed):
    whole = sides(rows, by=by, seed=seed)
    mixed = random.sample(rows, len(rows))
    assert sides(mixed, by=by, seed=seed) == whole
    few = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=lambda r: r["clip_id"]))
    assert sides(few, by=by, seed=seed) == {r["clip_id"]: whole[r["clip_id"]] for r in few}


@some(100)
@given(groups_of_clips(given_splits=True), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_no_group_is_on_two_sides(rows, by, seed):
    """By video, whatever the source says; by subject, unless the source itself puts one on two: an error."""
    column = "video" if by == "video" else "subject"
    said = {}
    for row in rows:
        said.setdefault(row[column], set()).update({row["split"]} - {None})
    torn = [name for name, splits in said.items() if len(splits) > 1]
    if torn:
        with pytest.raises(UserError, match="two sides"):
            sides(rows, by=by, seed=seed)
        return
    found = sides(rows, by=by, seed=seed)
    assert len({(r[column], found[r["clip_id"]]) for r in rows}) == len({r[column] for r in rows})
    assert all(found[r["clip_id"]] == r["split"] for r in rows if r["split"])


@some(20)
@given(st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 2**32 - 1))
def test_shares_are_about_those_asked_for(val, test, seed):
    rows = [{"clip_id": f"c{i}", "video": f"v{i}.mp4", "labels": []} for i in range(1000)]
    found = list(sides(rows, val=val, test=test, seed=seed).values())
    for name, share in (("val", val), ("test", test), ("train", 1 - val - test)):
        assert abs(found.count(name) / 1000 - share) < 5 * math.sqrt(share * (1 - share) / 1000)
