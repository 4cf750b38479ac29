"""Positives match, negatives do not, and nothing but the match distinguishes them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

from pipeline.dataset.pairing import (
    NONE,
    Relation,
    Sampler,
    assign_randomly,
    balanced_pairs,
    build_relation,
    validation_pairs,
)
from pipeline.errors import UserError


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def sampler(groups, batch_size=8, seed=0, labels=None):
    return Sampler(np.arange(len(groups)), Relation(np.array(groups), labels), batch_size, seed)


def test_an_epoch_is_reproducible():
    groups = [f"g{i // 2}" for i in range(30)]
    first, second = sampler(groups), sampler(groups)
    batches = list(first)
    second.set_epoch(5)
    list(second)
    second.set_epoch(0)
    assert all(equal(a, b) for a, b in zip(batches, second, strict=True))
    first.set_epoch(1)
    assert not all(equal(a, b) for a, b in zip(batches, first, strict=True))
    assert not all(equal(a, b) for a, b in zip(batches, sampler(groups, seed=1), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 20), st.integers(0, 99))
def test_batches_of_any_groups(groups, batch_size, seed):
    batches = list(sampler(groups, batch_size, seed))
    clips = np.concatenate([b.clip for b in batches])
    assert sorted(clips) == list(range(len(groups)))  # each clip once
    sizes = [len(b.clip) for b in batches]
    # No batch of one if it can be avoided: 3 clips with batch_size 2 are one batch of 3.
    assert min(sizes) >= 2 and max(sizes) <= max(batch_size, 3) and max(sizes) - min(sizes) <= 1
    groups = np.array(groups)
    for b in batches:
        assert np.array_equal(b.positive, np.arange(len(b.clip)))
        keep = b.negative != NONE
        assert (groups[b.clip[keep]] != groups[b.clip[b.negative[keep]]]).all()
        assert len(set(b.negative[keep])) == keep.sum()  # no sound is a negative twice
        assert ((b.position >= 0) & (b.position < 1)).all()
        largest_group = max(np.bincount(groups[b.clip]))
        if largest_group <= len(b.clip) / 2:
            assert keep.all()  # each sound is once a positive and once a negative
        assert np.array_equal(b.related, groups[b.clip][:, None] == groups[b.clip])


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 90), st.integers(2, 20), st.integers(1, 4), st.integers(0, 99))
def test_processes_share_an_epoch(clips, batch_size, count, seed):
    """Every process gets the same number of batches, and together they contain every clip once."""
    relation = Relation(np.arange(clips))
    batches_of_process = [
        list(Sampler(np.arange(clips), relation, batch_size, seed, rank=i, world_size=count))
        for i in range(count)
    ]
    lengths = {
        len(Sampler(np.arange(clips), relation, batch_size, seed, rank=i, world_size=count))
        for i in range(count)
    }
    assert {len(batches) for batches in batches_of_process} == lengths and len(lengths) == 1
    clip = np.concatenate([b.clip for batches in batches_of_process for b in batches])
    assert sorted(clip) == list(range(clips))
    assert (
        equal(batches_of_process[0][0], next(iter(Sampler(np.arange(clips), relation, batch_size, seed))))
        or count > 1
    )


class SeparatePositions(Sampler):
    """A faulty sampler for comparison: each clip's window at its own position."""

    def __iter__(self):
        rng = np.random.default_rng((self.seed, self.epoch))
        for batch in super().__iter__():
            yield replace(batch, position=rng.random(len(batch.clip)))


def accuracy_from_positions(sampler_class) -> float:
    """Return the accuracy of a decision tree that sees only the positions of the windows."""
    groups = np.array([f"g{i}" for i in range(64)])
    sampler = sampler_class(np.arange(64), Relation(groups), 16, 0)
    positions, match = [], []
    for epoch in range(8):
        sampler.set_epoch(epoch)
        for b in sampler:
            for partner, is_match in ((b.positive, True), (b.negative, False)):
                positions.append(
                    np.stack([b.position[partner], b.position, b.position[partner] - b.position], axis=1)
                )
                match.append(np.full(len(b.clip), is_match))
    tree = DecisionTreeClassifier(max_depth=6, random_state=0)
    return cross_val_score(tree, np.concatenate(positions), np.concatenate(match), cv=5).mean()


def test_positions_do_not_reveal_a_match():
    """The paper's guard against shortcuts (arXiv 1712.06651, section 2)."""
    assert accuracy_from_positions(Sampler) == pytest.approx(0.5, abs=0.05)
    assert accuracy_from_positions(SeparatePositions) > 0.9  # the test can fail


def test_large_groups_are_spread_over_the_batches():
    groups = ["big"] * 40 + [f"small{i}" for i in range(24)]
    for b in sampler(groups, 16):
        assert 8 <= (b.clip < 40).sum() <= 12


def test_offsets_do_not_reveal_a_match():
    positive_offsets, negative_positions = [], []
    s = sampler([f"g{i}" for i in range(64)], 64)
    for epoch in range(40):
        s.set_epoch(epoch)
        for b in s:
            positive_offsets += list(b.position[b.positive] - b.position)
            negative_positions += list(b.position[b.negative])
            assert sorted(b.position[b.negative]) == sorted(b.position)  # the same windows, only shuffled
    assert np.allclose(positive_offsets, 0)
    assert abs(np.mean(negative_positions) - 0.5) < 0.03


def test_negatives_are_sampled_evenly():
    s = sampler([f"g{i}" for i in range(10)], 10)
    counts = np.zeros((10, 10))
    for epoch in range(900):
        s.set_epoch(epoch)
        for b in s:
            counts[b.clip, b.clip[b.negative]] += 1
    assert (counts.diagonal() == 0).all()
    off_diagonal = counts[~np.eye(10, dtype=bool)]
    assert off_diagonal.min() > 60 and off_diagonal.max() < 145  # 100 expected


def test_category_positives_share_a_label_and_negatives_do_not():
    labels = [["a"], ["a", "b"], ["b"], ["c"], ["a"], ["c"], ["b"], ["d"]] * 4
    s = sampler([f"g{i}" for i in range(len(labels))], 16, labels=labels)
    other_clips = 0
    for epoch in range(20):
        s.set_epoch(epoch)
        for b in s:
            names = [set(labels[c]) for c in b.clip]
            assert all(names[i] & names[j] for i, j in enumerate(b.positive))
            assert sorted(b.positive) == list(range(len(b.clip)))
            assert all(not names[i] & names[j] for i, j in enumerate(b.negative) if j != NONE)
            assert (b.negative != NONE).all()
            other_clips += (b.positive != np.arange(len(b.clip))).sum()
    assert other_clips > 0  # positives include sounds of other clips


def test_siamese_pairs_contain_no_clip_twice():
    labels = [["a"], ["a"], ["b"], ["b"], ["c"]]  # c has no partner
    relation = Relation(np.arange(5), labels, siamese=True)
    for batch in Sampler(np.arange(5), relation, 5, 0):
        assert batch.clip[batch.positive][batch.clip < 4].tolist() == [c ^ 1 for c in batch.clip if c < 4]
        assert batch.positive[batch.clip == 4] == [NONE]
    sound, picture, match = balanced_pairs(np.arange(5), relation, 0)
    assert len(match) == 8 and match.sum() == 4 and (sound != picture).all()
    sound, picture, target = validation_pairs(np.arange(5), relation)
    assert {(a, b) for a, b, t in zip(sound, picture, target, strict=True) if t} == {
        (0, 1),
        (1, 0),
        (2, 3),
        (3, 2),
    }


def test_class_balanced_sampling():
    labels = [["often"]] * 30 + [["seldom"]] * 6 + [["rare", "often"]] * 4
    relation = Relation(np.arange(40), labels)
    balanced = Sampler(np.arange(40), relation, 10, 0, class_balanced=True)
    counts = np.zeros(40)
    for epoch in range(60):
        balanced.set_epoch(epoch)
        clips = np.concatenate([b.clip for b in balanced])
        assert len(clips) == 40
        counts += np.bincount(clips, minlength=40)
    shares = [counts[a:b].sum() / counts.sum() for a, b in ((0, 30), (30, 36), (36, 40))]
    # `often` is on 34 clips, of which the 4 of `rare` count as rare: 30/34, 1 and 1 of three equal shares
    assert shares == pytest.approx(np.array([30 / 34, 1, 1]) / (30 / 34 + 2), abs=0.01)
    assert (counts > 0).all()
    batches = [b.clip for b in balanced]
    assert all((a == b).all() for a, b in zip(batches, [b.clip for b in balanced], strict=True))


def test_clips_of_one_video_are_never_negatives():
    both = Relation(np.array(["v", "v", "w"]), [["a"], ["b"], ["b"]])
    indices = np.arange(3)
    assert both.share_label(indices[:, None], indices).tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert both.related(indices[:, None], indices).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("labels", [[["a"], []], [["a"], ["a"]]])
def test_category_without_labels_is_an_error(labels):
    with pytest.raises(UserError, match="pairing: category needs labels on all clips") as e:
        build_relation("category", np.array(["x", "y"]), labels)
    assert "\n" not in str(e.value)


def test_assignment_avoids_forbidden_entries():
    forbidden = np.ones((4, 4), bool)
    forbidden[[0, 1, 2, 3], [2, 3, 1, 0]] = False
    assert assign_randomly(forbidden, np.random.default_rng(0)).tolist() == [2, 3, 1, 0]


def test_validation_pairs_are_even_and_reproducible():
    groups = np.array([f"g{i // 2}" for i in range(20)])
    clips = np.arange(20)
    sound, picture, target = validation_pairs(clips, Relation(groups))
    assert target.sum() == 20 and (sound[target == 1] == picture[target == 1]).all()
    assert (groups[sound[target == 0]] != groups[picture[target == 0]]).all()
    assert np.array_equal(
        np.bincount(sound[target == 0]), np.full(20, 18)
    )  # all clips except those of the same video
    assert all(
        np.array_equal(x, y)
        for x, y in zip(validation_pairs(clips, Relation(groups)), (sound, picture, target), strict=True)
    )
    assert (validation_pairs(np.arange(5000), Relation(np.arange(5000)))[2] == 0).sum() == 32 * 5000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 20), st.integers(0, 9))
def test_balanced_pairs(groups, block, seed):
    clips = np.arange(len(groups))[::-1] + 3  # indices into a data set, not positions in `clips`
    relation = Relation(np.array([0, 0, 0, *groups]))
    sound, picture, match = balanced_pairs(clips, relation, seed, block)
    assert match.sum() * 2 == len(match)
    assert (clips[sound[match]] == clips[picture[match]]).all()
    assert not relation.related(clips[sound[~match]], clips[picture[~match]]).any()
    assert len(set(picture[match])) == match.sum() and set(picture[match]) == set(picture[~match])


def test_balanced_pairs_by_category():
    labels = [["a"], ["a", "b"], ["b"], ["c"], ["a"], ["c"]]
    relation = build_relation("category", np.arange(6), labels)
    sound, picture, match = balanced_pairs(np.arange(6), relation, 0)
    assert len(match) == 12
    shared = [bool({*labels[s]} & {*labels[p]}) for s, p in zip(sound, picture, strict=True)]
    assert shared == match.tolist()
