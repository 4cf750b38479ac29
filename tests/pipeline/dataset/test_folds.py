"""Folds: each group is tested once, sizes are even, and a fold has clips to train and to choose the epoch."""

from collections import Counter

import numpy as np
import pytest

from pipeline.dataset.folds import assign_fold
from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from tests.pipeline.dataset.test_split import CLIPS, split_by_clip

NAMES = [f"subject:{i}" for i in range(11)]


def assign(folds, fold, names=NAMES, val=0.15, seed=0) -> dict[str, str]:
    numbers = assign_fold(names, folds, fold, val, seed, "people")
    return dict(zip(names, np.array(SPLITS)[numbers], strict=True))


@pytest.mark.parametrize(("folds", "count"), [(2, 2), (4, 4), ("all", 11)])
def test_each_group_is_tested_in_one_fold(folds, count):
    all_folds = [assign(folds, fold) for fold in range(count)]
    tested = [name for splits in all_folds for name, split in splits.items() if split == "test"]
    assert sorted(tested) == sorted(NAMES)
    for splits in all_folds:
        sizes = Counter(splits.values())
        assert sizes["test"] in (11 // count, 11 // count + 1) and sizes["val"] and sizes["train"]
    val_groups = {name for splits in all_folds for name, split in splits.items() if split == "val"}
    assert len(val_groups) >= min(count, 11)  # not always the same groups choose the epoch


def test_a_fold_does_not_depend_on_the_order_of_groups():
    assert assign(3, 1) == assign(3, 1, NAMES[::-1])
    assert assign(3, 1) != assign(3, 1, seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((12, 0), "split.folds: 12: there are 11 people with usable clips: at most 11 folds"),
        (("all", 0, NAMES[:2]), "split.folds: all: there are 2 people with usable clips: at least 3"),
        ((3, 3), "split.fold: 3: there are 3 folds: choose one from 0 to 2"),
    ],
)
def test_what_cannot_be_divided_is_one_line(arguments, message):
    with pytest.raises(UserError, match=message):
        assign(*arguments)


def test_the_stage_split_takes_a_fold_and_no_split_of_the_source():
    rows = [row | {"split": "train"} for row in CLIPS[:60]]
    tested = Counter()
    for fold in range(5):
        splits = split_by_clip(rows, by="subject", folds=5, fold=fold)
        people = {(row["subject"], splits[row["clip_id"]]) for row in rows}
        assert len(people) == 10  # each person is in one split
        tested.update(person for person, split in people if split == "test")
    assert set(tested.values()) == {1} and len(tested) == 10
