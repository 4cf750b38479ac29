"""Pairs: right ones match, wrong ones do not, and nothing but the match tells them apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

from pipeline.dataset.pairing import NONE, Relation, Sampler, assignment, balanced, cross, relation
from pipeline.errors import UserError


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def sampler(groups, batch_size=8, seed=0, labels=None):
    return Sampler(np.arange(len(groups)), Relation(np.array(groups), labels), batch_size, seed)


def test_an_epoch_is_the_same_whoever_asks():
    groups = [f"g{i // 2}" for i in range(30)]
    first, again = sampler(groups), sampler(groups)
    one = list(first)
    again.set_epoch(5)
    list(again)
    again.set_epoch(0)
    assert all(equal(a, b) for a, b in zip(one, again, strict=True))
    first.set_epoch(1)
    assert not all(equal(a, b) for a, b in zip(one, first, strict=True))
    assert not all(equal(a, b) for a, b in zip(one, sampler(groups, seed=1), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 20), st.integers(0, 99))
def test_promises_hold_for_any_groups(groups, batch_size, seed):
    batches = list(sampler(groups, batch_size, seed))
    clips = np.concatenate([b.clip for b in batches])
    assert sorted(clips) == list(range(len(groups)))  # each clip once
    sizes = [len(b.clip) for b in batches]
    # No batch of one where there is another way: 3 clips with batch_size 2 are one batch of 3.
    assert min(sizes) >= 2 and max(sizes) <= max(batch_size, 3) and max(sizes) - min(sizes) <= 1
    groups = np.array(groups)
    for b in batches:
        assert np.array_equal(b.right, np.arange(len(b.clip)))
        keep = b.wrong != NONE
        assert (groups[b.clip[keep]] != groups[b.clip[b.wrong[keep]]]).all()
        assert len(set(b.wrong[keep])) == keep.sum()  # no sound is wrong twice
        assert ((b.at >= 0) & (b.at < 1)).all()
        most = max(np.bincount(groups[b.clip]))
        if most <= len(b.clip) / 2:
            assert keep.all()  # each sound is once right and once wrong: halves
        assert np.array_equal(b.same, groups[b.clip][:, None] == groups[b.clip])


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 90), st.integers(2, 20), st.integers(1, 4), st.integers(0, 99))
def test_processes_share_an_epoch(clips, batch_size, count, seed):
    """As many batches for each, and all of them together are every clip once."""
    related = Relation(np.arange(clips))
    each = [
        list(Sampler(np.arange(clips), related, batch_size, seed, share=(i, count))) for i in range(count)
    ]
    lengths = {
        len(Sampler(np.arange(clips), related, batch_size, seed, share=(i, count))) for i in range(count)
    }
    assert {len(batches) for batches in each} == lengths and len(lengths) == 1
    seen = np.concatenate([b.clip for batches in each for b in batches])
    assert sorted(seen) == list(range(clips))
    assert equal(each[0][0], next(iter(Sampler(np.arange(clips), related, batch_size, seed)))) or count > 1


class Apart(Sampler):
    """As it should not be: each clip's window at a place of its own."""

    def __iter__(self):
        rng = np.random.default_rng((self.seed, self.epoch))
        for batch in super().__iter__():
            yield replace(batch, at=rng.random(len(batch.clip)))


def told_by_places(kind) -> float:
    """How often a decision tree tells matches by where sound and picture were cut, and nothing else."""
    groups = np.array([f"g{i}" for i in range(64)])
    sampler = kind(np.arange(64), Relation(groups), 16, 0)
    places, match = [], []
    for epoch in range(8):
        sampler.set_epoch(epoch)
        for b in sampler:
            for other, right in ((b.right, True), (b.wrong, False)):
                places.append(np.stack([b.at[other], b.at, b.at[other] - b.at], axis=1))
                match.append(np.full(len(b.clip), right))
    tree = DecisionTreeClassifier(max_depth=6, random_state=0)
    return cross_val_score(tree, np.concatenate(places), np.concatenate(match), cv=5).mean()


def test_places_tell_nothing_of_a_match():
    """The paper's guard against shortcuts (arXiv 1712.06651, section 2)."""
    assert told_by_places(Sampler) == pytest.approx(0.5, abs=0.05)
    assert told_by_places(Apart) > 0.9  # the test can fail


def test_large_groups_are_spread_over_the_batches():
    groups = ["big"] * 40 + [f"small{i}" for i in range(24)]
    for b in sampler(groups, 16):
        assert 8 <= (b.clip < 40).sum() <= 12


def test_offsets_tell_nothing_of_the_match():
    right, wrong = [], []
    s = sampler([f"g{i}" for i in range(64)], 64)
    for epoch in range(40):
        s.set_epoch(epoch)
        for b in s:
            right += list(b.at[b.right] - b.at)
            wrong += list(b.at[b.wrong])
            assert sorted(b.at[b.wrong]) == sorted(b.at)  # the same windows, only shuffled
    assert np.allclose(right, 0)
    assert abs(np.mean(wrong) - 0.5) < 0.03


def test_wrong_sounds_are_drawn_evenly():
    s = sampler([f"g{i}" for i in range(10)], 10)
    counts = np.zeros((10, 10))
    for epoch in range(900):
        s.set_epoch(epoch)
        for b in s:
            counts[b.clip, b.clip[b.wrong]] += 1
    assert (counts.diagonal() == 0).all()
    others = counts[~np.eye(10, dtype=bool)]
    assert others.min() > 60 and others.max() < 145  # 100 expected


def test_category_pairs_share_a_label_or_none():
    labels = [["a"], ["a", "b"], ["b"], ["c"], ["a"], ["c"], ["b"], ["d"]] * 4
    s = sampler([f"g{i}" for i in range(len(labels))], 16, labels=labels)
    moved = 0
    for epoch in range(20):
        s.set_epoch(epoch)
        for b in s:
            names = [set(labels[c]) for c in b.clip]
            assert all(names[i] & names[j] for i, j in enumerate(b.right))
            assert sorted(b.right) == list(range(len(b.clip)))
            assert all(not names[i] & names[j] for i, j in enumerate(b.wrong) if j != NONE)
            assert (b.wrong != NONE).all()
            moved += (b.right != np.arange(len(b.clip))).sum()
    assert moved > 0  # the sound of another clip of the label, and not only its own


def test_one_modality_pairs_no_clip_with_itself():
    labels = [["a"], ["a"], ["b"], ["b"], ["c"]]  # c has no other
    related = Relation(np.arange(5), labels, siamese=True)
    for batch in Sampler(np.arange(5), related, 5, 0):
        assert batch.clip[batch.right][batch.clip < 4].tolist() == [c ^ 1 for c in batch.clip if c < 4]
        assert batch.right[batch.clip == 4] == [NONE]
    sound, picture, match = balanced(np.arange(5), related, 0)
    assert len(match) == 8 and match.sum() == 4 and (sound != picture).all()
    sound, picture, target = cross(np.arange(5), related)
    assert {(a, b) for a, b, t in zip(sound, picture, target, strict=True) if t} == {
        (0, 1),
        (1, 0),
        (2, 3),
        (3, 2),
    }


def test_labels_come_equally_often_where_that_is_asked_for():
    labels = [["often"]] * 30 + [["seldom"]] * 6 + [["rare", "often"]] * 4
    related = Relation(np.arange(40), labels)
    even = Sampler(np.arange(40), related, 10, 0, even=True)
    drawn = np.zeros(40)
    for epoch in range(60):
        even.set_epoch(epoch)
        clips = np.concatenate([b.clip for b in even])
        assert len(clips) == 40
        drawn += np.bincount(clips, minlength=40)
    shares = [drawn[a:b].sum() / drawn.sum() for a, b in ((0, 30), (30, 36), (36, 40))]
    # `often` is on 34 clips, of which the 4 of `rare` count as rare: 30/34, 1 and 1 of three equal shares
    assert shares == pytest.approx(np.array([30 / 34, 1, 1]) / (30 / 34 + 2), abs=0.01)
    assert (drawn > 0).all()
    again = [b.clip for b in even]
    assert all((a == b).all() for a, b in zip(again, [b.clip for b in even], strict=True))


def test_clips_of_one_video_are_no_negatives_whatever_their_labels():
    both = Relation(np.array(["v", "v", "w"]), [["a"], ["b"], ["b"]])
    every = np.arange(3)
    assert both.alike(every[:, None], every).tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert both.same(every[:, None], every).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("labels", [[["a"], []], [["a"], ["a"]]])
def test_category_without_labels_is_told(labels):
    with pytest.raises(UserError, match="pairing: category needs labels on all clips") as e:
        relation("category", np.array(["x", "y"]), labels)
    assert "\n" not in str(e.value)


def test_assignment_takes_forbidden_places_only_where_it_must():
    forbidden = np.ones((4, 4), bool)
    forbidden[[0, 1, 2, 3], [2, 3, 1, 0]] = False
    assert assignment(forbidden, np.random.default_rng(0)).tolist() == [2, 3, 1, 0]


def test_cross_pairs_are_fair_and_fixed():
    groups = np.array([f"g{i // 2}" for i in range(20)])
    clips = np.arange(20)
    sound, picture, target = cross(clips, Relation(groups))
    assert target.sum() == 20 and (sound[target == 1] == picture[target == 1]).all()
    assert (groups[sound[target == 0]] != groups[picture[target == 0]]).all()
    assert np.array_equal(np.bincount(sound[target == 0]), np.full(20, 18))  # all others but the own video's
    assert all(
        np.array_equal(x, y)
        for x, y in zip(cross(clips, Relation(groups)), (sound, picture, target), strict=True)
    )
    assert (cross(np.arange(5000), Relation(np.arange(5000)))[2] == 0).sum() == 32 * 5000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 20), st.integers(0, 9))
def test_balanced_pairs(groups, block, seed):
    clips = np.arange(len(groups))[::-1] + 3  # numbers in a data set, not places
    related = Relation(np.array([0, 0, 0, *groups]))
    sound, picture, match = balanced(clips, related, seed, block)
    assert match.sum() * 2 == len(match)
    assert (clips[sound[match]] == clips[picture[match]]).all()
    assert not related.same(clips[sound[~match]], clips[picture[~match]]).any()
    assert len(set(picture[match])) == match.sum() and set(picture[match]) == set(picture[~match])


def test_balanced_pairs_by_category():
    labels = [["a"], ["a", "b"], ["b"], ["c"], ["a"], ["c"]]
    related = relation("category", np.arange(6), labels)
    sound, picture, match = balanced(np.arange(6), related, 0)
    assert len(match) == 12
    shared = [bool({*labels[s]} & {*labels[p]}) for s, p in zip(sound, picture, strict=True)]
    assert shared == match.tolist()
