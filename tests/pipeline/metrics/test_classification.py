"""Metrics of classifiers, against scikit-learn, torchmetrics and hand-worked numbers."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.metrics import classification
from pipeline.metrics.classification import calibration, evaluate, per_class


def one(n=200, classes=8, seed=0, ties=False):
    """Probabilities and targets of clips with one label each."""
    rng = np.random.default_rng(seed)
    y = np.eye(classes, dtype=bool)[rng.integers(0, classes, n)]
    logits = rng.normal(size=(n, classes)) + 2 * y
    if ties:
        logits = logits.round()
    e = np.exp(logits)
    return e / e.sum(1, keepdims=True), y


@pytest.mark.parametrize("ties", [False, True])
def test_one_label_is_as_scikit_learn_and_torchmetrics_have_it(ties):
    p, y = one(ties=ties)
    found, right, told = evaluate(p, y, bootstrap=100), y.argmax(1), p.argmax(1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(right, told), abs=1e-6)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(right, told, average="macro"), abs=1e-6)
    assert found["map"] == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-6)
    if not ties:
        assert found["top_5"] == pytest.approx(sk.top_k_accuracy_score(right, p, k=5), abs=1e-6)
    error = multiclass_calibration_error(torch.tensor(p), torch.tensor(right), p.shape[1], n_bins=15)
    assert found["ece"] == pytest.approx(error.item(), abs=1e-5)
    assert found["n"] == 200 and found["classes"] == 8


def test_many_labels_are_as_scikit_learn_has_them():
    rng = np.random.default_rng(1)
    y = rng.random((300, 6)) < 0.2
    p = 1 / (1 + np.exp(-(rng.normal(size=y.shape) + 2 * y - 1)))
    found = evaluate(p, y, many=True, bootstrap=100)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(y, p > 0.5, average="macro"), abs=1e-6)
    assert found["map"] == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-6)
    assert set(found["ci"]) == {"f1_macro", "map", "ece"}


def test_by_hand():
    # Three clips of a, one of b; the last a is taken for b with 0.6.
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool)
    found = evaluate(p, y, bootstrap=100)
    assert found["accuracy"] == 0.75 and "top_5" not in found
    assert found["f1_macro"] == pytest.approx((4 / 5 + 2 / 3) / 2, abs=1e-6)
    assert found["map"] == 1.0  # each class's clips stand before all others
    assert found["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4, abs=1e-6)  # all in bins of their own
    # Always a: right in 3 of 4; F1 of a 2 * 3 / (4 + 3), of b 0; precision is the class's share.
    chance = {"accuracy": 0.75, "f1_macro": 3 / 7, "map": 0.5}
    assert found["chance"] == pytest.approx(chance, abs=1e-6)
    a, b = per_class(p, y, ["a", "b"], bootstrap=100)
    assert (a["n"], a["precision"], a["recall"], a["f1"]) == (3, 1.0, pytest.approx(2 / 3, abs=1e-6), 0.8)
    assert (b["n"], b["precision"], b["recall"]) == (1, 0.5, 1.0) and a["ap"] == b["ap"] == 1.0
    bins = [(r["confidence"], r["accuracy"], r["n"]) for r in calibration(p, y)]
    assert bins == [(0.6, 0.0, 1), (0.7, 1.0, 1), (0.8, 1.0, 1), (0.9, 1.0, 1)]


def test_a_class_without_clips_counts_in_no_mean():
    p, y = one(classes=4)
    wide = np.hstack([p * 0.9, np.full((len(p), 1), 0.1)]), np.hstack([y, np.zeros((len(y), 1), bool)])
    narrow, more = evaluate(p * 0.9 + 0.025, y, bootstrap=100), evaluate(*wide, bootstrap=100)
    assert more["classes"] == 4
    assert more["accuracy"] == narrow["accuracy"] and more["map"] == pytest.approx(narrow["map"], abs=1e-6)
    row = per_class(*wide, list("abcde"), bootstrap=100)[-1]
    assert row["n"] == 0 and row["recall"] is None and row["f1"] is None and row["ap"] is None


def test_intervals_hold_what_they_should():
    p, y = one(n=400)
    found = evaluate(p, y, bootstrap=1000)
    low, high = found["ci"]["accuracy"]
    spread = 1.96 * np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 400)
    assert low == pytest.approx(found["accuracy"] - spread, abs=0.01)
    assert high == pytest.approx(found["accuracy"] + spread, abs=0.01)
    assert evaluate(p, y, bootstrap=1000) == found
    # Ten cuts of each video say little more than one: the interval of 40 videos, not of 400 clips.
    same = np.repeat(p[:40], 10, 0), np.repeat(y[:40], 10, 0)
    wide = evaluate(*same, groups=np.repeat(np.arange(40), 10), bootstrap=1000)["ci"]["accuracy"]
    assert wide == pytest.approx(evaluate(p[:40], y[:40], bootstrap=1000)["ci"]["accuracy"], abs=1e-6)


@pytest.mark.parametrize(
    ("p", "y"),
    [
        (np.empty((0, 3)), np.empty((0, 3), bool)),
        (np.ones((2, 3)), np.ones((2, 4), bool)),
        (np.array([[np.nan, 0.5]]), np.array([[True, False]])),
    ],
)
def test_what_cannot_be_judged_is_an_error(p, y):
    with pytest.raises(ValueError):
        evaluate(p, y)


def test_chance_is_what_the_best_blind_answer_reaches():
    _, y = one(n=500, classes=7, seed=3)
    share = y.mean(0)
    blind = np.tile(share / share.sum(), (500, 1))  # always the same answer
    found = evaluate(blind, y, bootstrap=100)
    for name in ("accuracy", "f1_macro", "map"):
        assert found[name] == pytest.approx(found["chance"][name], abs=1e-6)
    assert classification.TOP == 5 and found["chance"]["top_5"] == pytest.approx(
        np.sort(share)[-5:].sum(), abs=1e-6
    )
