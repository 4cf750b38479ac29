"""Copies of clips are in one split, and clips that `quality.drop` names in none."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.dataset.duplicates import count_divided, read_quality
from pipeline.dataset.split import assign_splits
from pipeline.errors import UserError
from pipeline.store.atomic import write_table
from pipeline.store.clip_table import from_rows

N = 200


def assign(
    groups: dict[int, int], dropped: dict[int, str] | None = None, splits: dict | None = None
) -> pa.Table:
    """Assign N clips of N videos. groups: clip -> first clip of its group. splits: of the source."""
    rows = [
        {"clip_id": f"c{i}", "audio": f"{i}.mp4", "video": f"{i}.mp4", "labels": []}
        | {"split": (splits or {}).get(i)}
        for i in range(N)
    ]
    index = pa.table({"clip_id": [r["clip_id"] for r in rows], "status": ["ok"] * N, "detail": [""] * N})
    index = index.append_column("seconds", pa.array([2.0] * N))
    settings = SimpleNamespace(by="video", own=True, val=0.15, test=0.2, seed=0, folds=None)
    return assign_splits(from_rows(rows), index, index, settings, 1.0, quality=quality(groups, dropped or {}))


def quality(groups: dict[int, int], dropped: dict[int, str]) -> pa.Table:
    return pa.table(
        {
            "clip_id": [f"c{i}" for i in range(N)],
            "status": [dropped.get(i, "ok") for i in range(N)],
            "detail": [f"it is {dropped[i]}" if i in dropped else "" for i in range(N)],
            "group": pa.array([f"c{groups[i]}" if i in groups else None for i in range(N)], pa.string()),
        }
    )


COPIES = {0: 0, 50: 0, 100: 0, 150: 0, 7: 7, 9: 7}


def test_without_copies_nothing_changes():
    with_quality = assign({})
    assert with_quality["group"].to_pylist() == [f"video:{i}.mp4" for i in range(N)]


def test_copies_are_in_the_split_of_the_first():
    before, after = assign({}).to_pylist(), assign(COPIES).to_pylist()
    assert {after[i]["split"] for i in (0, 50, 100, 150)} == {before[0]["split"]}
    assert {after[i]["group"] for i in (7, 9)} == {"video:7.mp4"}
    others = set(range(N)) - set(COPIES)
    assert [after[i] for i in others] == [before[i] for i in others]


def test_a_split_of_the_source_draws_copies_to_it():
    rows = assign(COPIES, splits={100: "test"}).to_pylist()
    assert {rows[i]["split"] for i in (0, 50, 100, 150)} == {"test"}


def test_two_splits_of_the_source_stay_and_are_counted():
    table = assign(COPIES, splits={0: "train", 100: "test"})
    rows = table.to_pylist()
    assert (rows[0]["split"], rows[100]["split"]) == ("train", "test")
    assert rows[7]["split"] == rows[9]["split"]
    assert count_divided(quality(COPIES, {}), table["split"]) in (2, 3, 4)
    assert count_divided(quality({}, {}), table["split"]) == 0


def test_dropped_clips_have_no_split():
    rows = assign({}, dropped={3: "still"}).to_pylist()
    assert (rows[3]["split"], rows[3]["status"], rows[3]["detail"]) == (None, "still", "it is still")


def test_quality_of_other_clips_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_table(quality({}, {}), tmp_path / "data/quality.parquet")
    other = from_rows([{"clip_id": "x", "audio": "x", "video": "x", "labels": []}])
    with pytest.raises(UserError, match="made for other clips"):
        read_quality(other)
