"""Verification metrics, compared with scikit-learn's ROC and numbers computed by hand."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from pipeline.metrics.verification import MAX_TRIALS, evaluate, select_trials


@pytest.mark.parametrize("ties", [False, True])
def test_errors_agree_with_the_roc_curve(ties):
    rng = np.random.default_rng(0)
    same = rng.random(3000) < 0.2
    scores = rng.normal(size=3000) + 1.5 * same
    scores = scores.round(1) if ties else scores
    metrics = evaluate(scores, same, bootstrap=100)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    curve = interp1d(fpr, tpr)
    assert metrics["eer"] == pytest.approx(brentq(lambda x: 1 - x - curve(x), 0, 1), abs=1e-5)
    assert metrics["min_dcf"] == pytest.approx(((0.05 * (1 - tpr) + 0.95 * fpr) / 0.05).min(), abs=1e-6)
    assert metrics["n"] == 3000 and metrics["n_same"] == same.sum()


def test_by_hand():
    # Scores 4 3 2 1, the second best a non-target trial: a threshold of 3.5 misses half and accepts none.
    metrics = evaluate(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False]), bootstrap=100)
    assert metrics["eer"] == 0.5 and metrics["min_dcf"] == 0.5
    perfect = evaluate(np.array([2.0, 2.0, 1.0]), np.array([True, True, False]), bootstrap=100)
    assert perfect["eer"] == 0 and perfect["min_dcf"] == 0
    worst = evaluate(np.array([1.0, 2.0]), np.array([True, False]), bootstrap=100)
    assert worst["eer"] == 1 and worst["min_dcf"] == 1


def test_trials_are_pairs_of_different_videos():
    people, videos = list("aaabbc"), np.array(list("112345"))
    a, b, same = select_trials(people, videos, 0)
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    assert pairs == {(i, j) for i in range(6) for j in range(i + 1, 6)} - {(0, 1)}
    assert same.sum() == 3 and all(same == [people[i] == people[j] for i, j in zip(a, b, strict=True)])


def test_the_number_of_trials_is_limited():
    people = [str(i % 40) for i in range(800)]
    a, b, same = select_trials(people, np.arange(800), 0)
    assert len(a) == MAX_TRIALS and 0 < same.sum() <= MAX_TRIALS // 2
    repeated = select_trials(people, np.arange(800), 0)
    assert (a == repeated[0]).all() and (b == repeated[1]).all()


def test_the_interval_is_over_people():
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(12), 8)
    hard = rng.normal(0, 1.5, 12)  # an effect of the person, shared by all of their trials
    a, b, same = select_trials([str(p) for p in people], np.arange(len(people)), 0)
    scores = rng.normal(size=len(a)) + 2 * same + hard[people[a]]
    ends = np.stack([people[a], people[b]], 1)
    by_people, alone = evaluate(scores, same, ends), evaluate(scores, same)
    width = [np.diff(x["ci"]["eer"])[0] for x in (by_people, alone)]
    assert width[0] > 2 * width[1]
    assert by_people["ci"]["eer"][0] <= by_people["eer"] <= by_people["ci"]["eer"][1]


def test_trials_of_one_kind_are_an_error():
    with pytest.raises(ValueError, match="pairs of one person"):
        evaluate(np.array([1.0, 2.0]), np.array([True, True]))
