"""Splits: nothing of one video on two sides, no clip moved by others, none used that has no window."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.dataset.split import SCHEMA, assign, warnings
from pipeline.store.clip_table import from_rows


def settings(**changes) -> SimpleNamespace:
    return SimpleNamespace(**{"by": "video", "own": True, "val": 0.15, "test": 0.2, "seed": 0} | changes)


def clip(name: str, video: str | None = None, **more) -> dict:
    address = video or f"{name}.mp4"
    return {"clip_id": name, "audio": address, "video": address, "labels": []} | more


def index(rows: list[dict], **changes) -> pa.Table:
    """An index in which all is ok and lasts for 2 s, save what `changes` (clip_id=...) says."""
    fine = {"status": "ok", "detail": "", "seconds": 2.0}
    return pa.Table.from_pylist(
        [{"clip_id": r["clip_id"]} | fine | changes.get(r["clip_id"], {}) for r in rows]
    )


def splits(rows: list[dict], sound=None, picture=None, **changes) -> dict[str, dict]:
    sound, picture = index(rows, **sound or {}), index(rows, **picture or {})
    extra = pa.schema([("video_id", pa.string())]) if any("video_id" in r for r in rows) else None
    table = assign(from_rows(rows, extra), sound, picture, settings(**changes), 1.0)
    assert table.schema.equals(SCHEMA)
    assert table["clip_id"].to_pylist() == [r["clip_id"] for r in rows]
    return {r["clip_id"]: r for r in table.to_pylist()}


def sides(rows: list[dict], **changes) -> dict[str, str]:
    return {name: row["split"] for name, row in splits(rows, **changes).items()}


MANY = [clip(f"c{i}", f"v{i // 3}.mp4", subject=f"s{i // 6}") for i in range(3000)]


def test_the_shares_are_those_asked_for():
    counts = Counter(sides(MANY, val=0.1, test=0.3).values())
    assert counts["val"] / 3000 == pytest.approx(0.1, abs=0.03)
    assert counts["test"] / 3000 == pytest.approx(0.3, abs=0.04)
    assert counts["train"] == 3000 - counts["val"] - counts["test"]


@pytest.mark.parametrize(("by", "column"), [("video", "video"), ("subject", "subject")])
def test_a_group_is_on_one_side(by, column):
    found = sides(MANY, by=by)
    pairs = {(r[column], found[r["clip_id"]]) for r in MANY}
    assert len(pairs) == len({r[column] for r in MANY})


def test_others_move_no_clip():
    few = MANY[100:130]
    whole = sides(MANY)
    assert sides(few) == {r["clip_id"]: whole[r["clip_id"]] for r in few}
    assert sides(few[::-1]) == sides(few)


def test_the_seed_deals_anew():
    assert sides(MANY, seed=0) != sides(MANY, seed=1)


def test_clips_without_a_subject_go_by_their_video():
    rows = [clip("a", "one.mp4"), clip("b", "one.mp4"), clip("c", "two.mp4")]
    found = splits(rows, by="subject")
    assert found["a"]["group"] == found["b"]["group"] != found["c"]["group"]


def test_a_video_may_be_named_so_that_folders_do_not_matter():
    def at(folder: str) -> dict[str, str]:
        return sides([clip(f"c{i}", f"{folder}/{i}.mp4", video_id=f"{i}.mp4") for i in range(50)])

    assert at("here") == at("/somewhere/else")


def test_a_split_that_the_source_gives_is_kept_and_its_group_follows():
    for given in ("train", "val", "test"):
        rows = [clip("a", "one.mp4"), clip("b", "one.mp4", split=given), clip("c", "one.mp4")]
        assert set(sides(rows).values()) == {given}


@pytest.mark.parametrize("where", ["sound", "picture"])
def test_what_fell_out_has_its_reason_and_no_split(where):
    rows = [clip("a"), clip("b")]
    found = splits(rows, **{where: {"b": {"status": "corrupt", "detail": "not a video"}}})
    assert found["a"]["split"] and found["a"]["status"] == "ok"
    assert (found["b"]["split"], found["b"]["status"], found["b"]["detail"]) == (
        None,
        "corrupt",
        "not a video",
    )


def test_less_sound_than_a_window_is_too_short():
    found = splits([clip("a"), clip("b")], sound={"a": {"seconds": 0.99}, "b": {"seconds": 1.0}})
    assert (found["a"]["split"], found["a"]["status"]) == (None, "too_short")
    assert "0.99 s" in found["a"]["detail"] and "audio.window_seconds is 1" in found["a"]["detail"]
    assert found["b"]["status"] == "ok"


def test_a_clip_that_is_in_no_index_is_a_row_too():
    rows = [clip("a"), clip("b")]
    table = assign(from_rows(rows), index(rows[:1]), index(rows), settings(), 1.0).to_pylist()
    assert (table[1]["status"], table[1]["split"]) == ("unreadable", None)


def test_no_clips_are_an_empty_table():
    empty = from_rows([])
    assert len(assign(empty, index([clip("a")])[:0], index([clip("a")])[:0], settings(), 1.0)) == 0


# --- sides that are not what was asked for ---------------------------------------------------------------


def told(rows: list[dict], **changes) -> list[str]:
    table = assign(from_rows(rows), index(rows), index(rows), settings(**changes), 1.0)
    return warnings(table, from_rows(rows), settings(**changes))


def test_shares_that_are_near_are_not_worth_a_word():
    assert told(MANY) == []


def test_a_side_that_is_empty_or_far_from_its_share_is_told():
    few = [clip(f"c{i}", subject=f"s{i % 6}") for i in range(1200)]
    seed = next(s for s in range(1000) if set(sides(few, by="subject", seed=s).values()) == {"train", "test"})
    lines = told(few, by="subject", seed=seed)
    assert any(line.startswith("0 of 1200 clips are in val (0%, not 15%); ") for line in lines)
    assert all("a hash decides for each of 6 people: another split.seed" in line for line in lines)


def test_the_sources_own_split_can_be_overruled():
    rows = [clip(f"c{i}", split="test" if i < 90 else "train") for i in range(100)]
    assert Counter(sides(rows).values()) == {"test": 90, "train": 10}
    found = Counter(sides(rows, own=False).values())
    assert found["train"] > 40 and found["test"] < 40
    assert told(rows, own=True) == [
        "no clip is in val, since the source splits all of them: split.own: false overrules that"
    ]
    assert told(rows, own=False) == []


def test_what_the_source_leaves_open_is_looked_at():
    rows = [clip(f"c{i}", split="test" if i < 6 else None) for i in range(23)]
    seed = next(s for s in range(1000) if list(sides(rows, seed=s).values()).count("val") == 1)
    [line] = told(rows, seed=seed)
    assert line.startswith("1 of 23 clips are in val (4%, not 11%); ")
