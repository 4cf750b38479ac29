"""Splits: each video in one split, no influence of other clips, no split without a usable window."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.dataset.split import SCHEMA, assign_splits, one_sided_note, split_size_warnings
from pipeline.store.clip_table import from_rows


def settings(**changes) -> SimpleNamespace:
    values = {"by": "video", "own": True, "val": 0.15, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    return SimpleNamespace(**values | changes)


def clip(name: str, video: str | None = None, **columns) -> dict:
    path = video or f"{name}.mp4"
    return {"clip_id": name, "audio": path, "video": path, "labels": []} | columns


def index(rows: list[dict], **changes) -> pa.Table:
    """Return an index: all clips are ok and last for 2 s, except for `changes` (clip_id=...)."""
    ok = {"status": "ok", "detail": "", "seconds": 2.0}
    return pa.Table.from_pylist(
        [{"clip_id": r["clip_id"]} | ok | changes.get(r["clip_id"], {}) for r in rows]
    )


def assign_rows(rows: list[dict], sound=None, picture=None, **changes) -> dict[str, dict]:
    sound, picture = index(rows, **sound or {}), index(rows, **picture or {})
    boxes = pa.list_(pa.float64())
    types = {"video_id": pa.string(), "box": boxes, "silent_box": boxes}
    extra = pa.schema([(name, type_) for name, type_ in types.items() if any(name in r for r in rows)])
    table = assign_splits(from_rows(rows, extra), sound, picture, settings(**changes), 1.0)
    assert table.schema.equals(SCHEMA)
    assert table["clip_id"].to_pylist() == [r["clip_id"] for r in rows]
    return {r["clip_id"]: r for r in table.to_pylist()}


def split_by_clip(rows: list[dict], **changes) -> dict[str, str]:
    return {name: row["split"] for name, row in assign_rows(rows, **changes).items()}


CLIPS = [clip(f"c{i}", f"v{i // 3}.mp4", subject=f"s{i // 6}") for i in range(3000)]


def test_the_shares_are_near_the_settings():
    counts = Counter(split_by_clip(CLIPS, val=0.1, test=0.3).values())
    assert counts["val"] / 3000 == pytest.approx(0.1, abs=0.03)
    assert counts["test"] / 3000 == pytest.approx(0.3, abs=0.04)
    assert counts["train"] == 3000 - counts["val"] - counts["test"]


@pytest.mark.parametrize(("by", "column"), [("video", "video"), ("subject", "subject")])
def test_a_group_is_in_one_split(by, column):
    split_of = split_by_clip(CLIPS, by=by)
    pairs = {(r[column], split_of[r["clip_id"]]) for r in CLIPS}
    assert len(pairs) == len({r[column] for r in CLIPS})


def test_a_split_does_not_depend_on_other_clips():
    subset = CLIPS[100:130]
    whole = split_by_clip(CLIPS)
    assert split_by_clip(subset) == {r["clip_id"]: whole[r["clip_id"]] for r in subset}
    assert split_by_clip(subset[::-1]) == split_by_clip(subset)


def test_another_seed_gives_other_splits():
    assert split_by_clip(CLIPS, seed=0) != split_by_clip(CLIPS, seed=1)


def test_clips_without_a_subject_are_grouped_by_video():
    rows = [clip("a", "one.mp4"), clip("b", "one.mp4"), clip("c", "two.mp4")]
    table = assign_rows(rows, by="subject")
    assert table["a"]["group"] == table["b"]["group"] != table["c"]["group"]


def test_with_video_id_the_folder_does_not_matter():
    def splits_in(folder: str) -> dict[str, str]:
        return split_by_clip([clip(f"c{i}", f"{folder}/{i}.mp4", video_id=f"{i}.mp4") for i in range(50)])

    assert splits_in("here") == splits_in("/somewhere/else")


def test_a_split_of_the_source_holds_for_the_whole_group():
    for split in ("train", "val", "test"):
        rows = [clip("a", "one.mp4"), clip("b", "one.mp4", split=split), clip("c", "one.mp4")]
        assert set(split_by_clip(rows).values()) == {split}


@pytest.mark.parametrize("index_name", ["sound", "picture"])
def test_a_failed_clip_has_a_reason_and_no_split(index_name):
    rows = [clip("a"), clip("b")]
    table = assign_rows(rows, **{index_name: {"b": {"status": "corrupt", "detail": "not a video"}}})
    assert table["a"]["split"] and table["a"]["status"] == "ok"
    assert (table["b"]["split"], table["b"]["status"], table["b"]["detail"]) == (
        None,
        "corrupt",
        "not a video",
    )


def test_clips_in_which_nothing_in_view_sounds_have_no_split():
    rows = [
        clip("sounds", box=[0, 0, 1, 1]),
        clip("two", box=[0, 0, 1, 1], silent_box=[0, 0, 1, 1]),
        clip("off_screen", silent_box=[0, 0, 1, 1]),
        clip("broken", silent_box=[0, 0, 1, 1]),
        clip("unknown"),
    ]
    table = assign_rows(rows, sound={"broken": {"status": "no_audio", "detail": "x"}})
    statuses = {name: row["status"] for name, row in table.items()}
    assert statuses == {
        "sounds": "ok",
        "two": "ok",
        "off_screen": "no_source",
        "broken": "no_audio",
        "unknown": "ok",
    }
    assert table["off_screen"]["split"] is None and "nothing in view" in table["off_screen"]["detail"]


def test_less_sound_than_a_window_is_too_short():
    table = assign_rows([clip("a"), clip("b")], sound={"a": {"seconds": 0.99}, "b": {"seconds": 1.0}})
    assert (table["a"]["split"], table["a"]["status"]) == (None, "too_short")
    assert "0.99 s" in table["a"]["detail"] and "audio.window_seconds is 1" in table["a"]["detail"]
    assert table["b"]["status"] == "ok"


def test_a_clip_missing_from_an_index_has_a_row():
    rows = [clip("a"), clip("b")]
    table = assign_splits(from_rows(rows), index(rows[:1]), index(rows), settings(), 1.0).to_pylist()
    assert (table[1]["status"], table[1]["split"]) == ("unreadable", None)


def test_no_clips_give_an_empty_table():
    empty = from_rows([])
    assert len(assign_splits(empty, index([clip("a")])[:0], index([clip("a")])[:0], settings(), 1.0)) == 0


# --- warnings about shares -------------------------------------------------------------------------------


def warnings_for(rows: list[dict], **changes) -> list[str]:
    table = assign_splits(from_rows(rows), index(rows), index(rows), settings(**changes), 1.0)
    return split_size_warnings(table, from_rows(rows), settings(**changes))


def test_shares_near_the_settings_give_no_warning():
    assert warnings_for(CLIPS) == []


def test_no_usable_clip_gives_the_reason():
    rows = [clip("a"), clip("b")]
    sound = index(rows, a={"seconds": 0.45}, b={"seconds": 0.45})
    table = assign_splits(from_rows(rows), sound, index(rows), settings(), 1.0)
    [line] = split_size_warnings(table, from_rows(rows), settings())
    assert line.startswith("no clip can be used: 2 of 2 are too_short: 0.45 s of sound")


def test_an_empty_split_gives_a_warning():
    subset = [clip(f"c{i}", subject=f"s{i % 6}") for i in range(1200)]
    seed = next(
        s
        for s in range(1000)
        if set(split_by_clip(subset, by="subject", seed=s).values()) == {"train", "test"}
    )
    lines = warnings_for(subset, by="subject", seed=seed)
    assert any(line.startswith("0 of 1200 clips are in val (0%, not 15%); ") for line in lines)
    assert all("a hash decides for each of 6 people: try another split.seed" in line for line in lines)


def test_the_split_of_the_source_can_be_ignored():
    rows = [clip(f"c{i}", split="test" if i < 90 else "train") for i in range(100)]
    assert Counter(split_by_clip(rows).values()) == {"test": 90, "train": 10}
    counts = Counter(split_by_clip(rows, own=False).values())
    assert counts["train"] > 40 and counts["test"] < 40
    assert warnings_for(rows, own=True) == [
        "no clip is in val, since the source splits all of them: split.own: false overrules that"
    ]
    assert warnings_for(rows, own=False) == []


def test_warnings_cover_clips_without_a_split_of_the_source():
    rows = [clip(f"c{i}", split="test" if i < 6 else None) for i in range(23)]
    seed = next(s for s in range(1000) if list(split_by_clip(rows, seed=s).values()).count("val") == 1)
    [line] = warnings_for(rows, seed=seed)
    assert line.startswith("1 of 23 clips are in val (4%, not 11%); ")


def test_a_modality_needs_its_side_alone():
    rows = [clip(name) for name in ("both", "sound", "picture", "short", "none")]
    sound = {name: {"status": "no_audio", "seconds": None} for name in ("picture", "none")}
    sound["short"] = {"seconds": 0.5}
    picture = {name: {"status": "no_video", "seconds": None} for name in ("sound", "none")}

    def statuses(modality: str) -> tuple[dict[str, str], str | None]:
        indexes = index(rows, **sound), index(rows, **picture)
        table = assign_splits(from_rows(rows), *indexes, settings(), 1.0, modality)
        return {r["clip_id"]: r["status"] for r in table.to_pylist()}, one_sided_note(table)

    by_modality = {modality: statuses(modality)[0] for modality in ("both", "audio", "video")}
    usable = {m: {c for c, status in rows.items() if status == "ok"} for m, rows in by_modality.items()}
    assert usable == {"both": {"both"}, "audio": {"both", "sound"}, "video": {"both", "picture", "short"}}
    assert by_modality["both"] == {
        "both": "ok", "sound": "no_video", "picture": "no_audio", "short": "too_short", "none": "no_audio"
    }  # fmt: skip
    note = "modality: both leaves out 3 clips: 2 have no sound, 1 no picture; modality: video or audio takes"
    assert statuses("both")[1] == f"{note} them"
    assert one_sided_note(assign_splits(from_rows(rows), index(rows), index(rows), settings(), 1.0)) is None
