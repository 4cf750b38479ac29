"""Classification metrics, compared with scikit-learn, torchmetrics and numbers computed by hand."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.metrics import classification
from pipeline.metrics.classification import calibration_bins, evaluate, evaluate_classes


def single_label(n=200, classes=8, seed=0, ties=False):
    """Return probabilities and targets of clips with one label each."""
    rng = np.random.default_rng(seed)
    y = np.eye(classes, dtype=bool)[rng.integers(0, classes, n)]
    logits = rng.normal(size=(n, classes)) + 2 * y
    if ties:
        logits = logits.round()
    e = np.exp(logits)
    return e / e.sum(1, keepdims=True), y


@pytest.mark.parametrize("ties", [False, True])
def test_single_label_agrees_with_scikit_learn_and_torchmetrics(ties):
    p, y = single_label(ties=ties)
    metrics, actual, predicted = evaluate(p, y, bootstrap=100), y.argmax(1), p.argmax(1)
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted), abs=1e-6)
    assert metrics["f1_macro"] == pytest.approx(sk.f1_score(actual, predicted, average="macro"), abs=1e-6)
    assert metrics["map"] == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-6)
    if not ties:
        assert metrics["top_5"] == pytest.approx(sk.top_k_accuracy_score(actual, p, k=5), abs=1e-6)
    error = multiclass_calibration_error(torch.tensor(p), torch.tensor(actual), p.shape[1], n_bins=15)
    assert metrics["ece"] == pytest.approx(error.item(), abs=1e-5)
    assert metrics["n"] == 200 and metrics["classes"] == 8


def test_multilabel_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    y = rng.random((300, 6)) < 0.2
    p = 1 / (1 + np.exp(-(rng.normal(size=y.shape) + 2 * y - 1)))
    metrics = evaluate(p, y, multilabel=True, bootstrap=100)
    assert metrics["f1_macro"] == pytest.approx(sk.f1_score(y, p > 0.5, average="macro"), abs=1e-6)
    assert metrics["map"] == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-6)
    assert set(metrics["ci"]) == {"f1_macro", "map", "ece"}


def test_by_hand():
    # Three clips of a, one of b; the last a is predicted as b with 0.6.
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool)
    metrics = evaluate(p, y, bootstrap=100)
    assert metrics["accuracy"] == 0.75 and "top_5" not in metrics
    assert metrics["f1_macro"] == pytest.approx((4 / 5 + 2 / 3) / 2, abs=1e-6)
    assert metrics["map"] == 1.0  # each class's clips rank before all others
    assert metrics["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4, abs=1e-6)  # each in a separate bin
    # Always a: correct in 3 of 4; F1 of a 2 * 3 / (4 + 3), of b 0; precision is the class's share.
    chance = {"accuracy": 0.75, "f1_macro": 3 / 7, "map": 0.5}
    assert metrics["chance"] == pytest.approx(chance, abs=1e-6)
    a, b = evaluate_classes(p, y, ["a", "b"], bootstrap=100)
    assert (a["n"], a["precision"], a["recall"], a["f1"]) == (3, 1.0, pytest.approx(2 / 3, abs=1e-6), 0.8)
    assert (b["n"], b["precision"], b["recall"]) == (1, 0.5, 1.0) and a["ap"] == b["ap"] == 1.0
    bins = [(r["confidence"], r["accuracy"], r["n"]) for r in calibration_bins(p, y)]
    assert bins == [(0.6, 0.0, 1), (0.7, 1.0, 1), (0.8, 1.0, 1), (0.9, 1.0, 1)]


def test_a_class_without_clips_is_in_no_mean():
    p, y = single_label(classes=4)
    wide = np.hstack([p * 0.9, np.full((len(p), 1), 0.1)]), np.hstack([y, np.zeros((len(y), 1), bool)])
    narrow, metrics = evaluate(p * 0.9 + 0.025, y, bootstrap=100), evaluate(*wide, bootstrap=100)
    assert metrics["classes"] == 4
    assert metrics["accuracy"] == narrow["accuracy"] and metrics["map"] == pytest.approx(
        narrow["map"], abs=1e-6
    )
    row = evaluate_classes(*wide, list("abcde"), bootstrap=100)[-1]
    assert row["n"] == 0 and row["recall"] is None and row["f1"] is None and row["ap"] is None


def test_intervals_have_the_width_of_theory_and_follow_groups():
    p, y = single_label(n=400)
    metrics = evaluate(p, y, bootstrap=1000)
    low, high = metrics["ci"]["accuracy"]
    spread = 1.96 * np.sqrt(metrics["accuracy"] * (1 - metrics["accuracy"]) / 400)
    assert low == pytest.approx(metrics["accuracy"] - spread, abs=0.01)
    assert high == pytest.approx(metrics["accuracy"] + spread, abs=0.01)
    assert evaluate(p, y, bootstrap=1000) == metrics
    # Ten cuts of each video add no information: the interval is that of 40 videos.
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
def test_bad_input_is_an_error(p, y):
    with pytest.raises(ValueError):
        evaluate(p, y)


def test_chance_is_the_best_constant_answer():
    _, y = single_label(n=500, classes=7, seed=3)
    share = y.mean(0)
    constant = np.tile(share / share.sum(), (500, 1))  # the same answer for every clip
    metrics = evaluate(constant, y, bootstrap=100)
    for name in ("accuracy", "f1_macro", "map"):
        assert metrics[name] == pytest.approx(metrics["chance"][name], abs=1e-6)
    assert classification.TOP == 5 and metrics["chance"]["top_5"] == pytest.approx(
        np.sort(share)[-5:].sum(), abs=1e-6
    )
