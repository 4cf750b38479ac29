"""Each metric equals its definition for any input. The definitions are written as plain loops here."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.metrics import classification, correspondence, retrieval, verification
from testing.strategies import max_examples


@st.composite
def retrieval_inputs(draw) -> tuple[dict, list[list[str]], int]:
    """Vectors with many ties and exactly representable distances; labels, some of them empty; a seed."""
    n, dim = draw(st.integers(1, 14)), 4
    axes = np.vstack([np.eye(dim), -np.eye(dim), np.zeros(dim)]).astype(np.float32)
    axis_numbers = st.lists(st.integers(0, 2 * dim), min_size=n, max_size=n)
    embeddings = {
        side: axes[draw(axis_numbers)] * draw(st.sampled_from([1.0, 2.0])) for side in ("audio", "video")
    }
    labels = draw(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=n, max_size=n))
    return embeddings, labels, draw(st.integers(0, 5))


def slow_retrieval(embeddings: dict, labels: list[list[str]], seed: int, direction: str) -> dict:
    """Compute the definitions at the top of pipeline/metrics/retrieval.py query by query."""
    source, target = retrieval.DIRECTIONS[direction]
    across, n = source != target, len(labels)
    unit = {s: [v / (np.linalg.norm(v) or 1) for v in embeddings[s].astype(float)] for s in embeddings}
    tie_order = {int(j): rank for rank, j in enumerate(np.random.default_rng(seed).permutation(n))}
    metrics: dict[str, list[float]] = {m: [] for m in retrieval.METRICS}
    for i in range(n):
        near = sorted(
            range(n), key=lambda j: (round(sum((unit[source][i] - unit[target][j]) ** 2), 6), tie_order[j])
        )
        candidates = [j for j in near if j != i]
        gains = [len(set(labels[i]) & set(labels[j])) for j in candidates]
        if across:
            for k in retrieval.KS:
                metrics[f"recall_{k}"].append(float(i in near[:k]))
        elif any(gains):
            for k in retrieval.KS:
                metrics[f"recall_{k}"].append(float(any(gains[:k])))
        if any(gains):
            cut = retrieval.CUT
            best = sorted(gains, reverse=True)
            dcg, ideal = (
                sum(g / math.log2(rank + 2) for rank, g in enumerate(order[:cut])) for order in (gains, best)
            )
            metrics[f"ndcg_{cut}"].append(dcg / ideal)
            hits, total = 0, 0.0
            for rank, g in enumerate(gains, 1):
                if g:
                    hits += 1
                    total += hits / rank
            metrics["map"].append(total / hits)
            for k in retrieval.KS:
                metrics[f"precision_{k}"].append(sum(g > 0 for g in gains[:k]) / k)
    return {m: sum(v) / len(v) if v else None for m, v in metrics.items()}


def assert_equal(metrics: dict, slow: dict) -> None:
    for name, value in slow.items():
        assert metrics[name] == (None if value is None else pytest.approx(value, abs=2e-6)), name


@max_examples(120)
@given(retrieval_inputs())
def test_retrieval_equals_its_definition(inputs):
    embeddings, labels, seed = inputs
    metrics = retrieval.evaluate(embeddings, labels, bootstrap=0, seed=seed)
    for direction in retrieval.DIRECTIONS:
        assert_equal(metrics[direction], slow_retrieval(embeddings, labels, seed, direction))


@st.composite
def scored_pairs(draw, min_size: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and whether each pair matches."""
    values = st.integers(-4, 4).map(lambda v: v / 4) | st.floats(-1e6, 1e6)
    pairs = draw(st.lists(st.tuples(values, st.booleans()), min_size=min_size, max_size=30))
    return np.array([v for v, _ in pairs]), np.array([m for _, m in pairs])


@max_examples(150)
@given(scored_pairs(), st.integers(-4, 4).map(lambda v: v / 4))
def test_correspondence_equals_its_definition(pairs, threshold):
    values, matches = pairs
    metrics = correspondence.evaluate(values, matches, threshold, bootstrap=0)
    is_correct = [(v >= threshold) == m for v, m in zip(values, matches, strict=True)]
    assert metrics["accuracy"] == pytest.approx(sum(is_correct) / len(is_correct), abs=2e-6)
    yes, no = values[matches], values[~matches]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in yes for b in no]
    assert metrics["auc"] == (pytest.approx(sum(wins) / len(wins), abs=2e-6) if wins else None)
    best = correspondence.best_threshold(values, matches)
    correct = [sum((v >= t) == m for v, m in zip(values, matches, strict=True)) for t in [*values, np.inf]]
    assert sum((v >= best) == m for v, m in zip(values, matches, strict=True)) == max(correct)


@max_examples(100)
@given(scored_pairs(2))
def test_verification_equals_its_definition(trials):
    values, matches = trials
    assume(matches.any() and not matches.all())
    metrics = verification.evaluate(values, matches, bootstrap=0)
    points = []
    for t in [-np.inf, *sorted(set(values.tolist()))]:  # all trials up to t are rejected
        miss = sum(v <= t for v in values[matches]) / matches.sum()
        false = sum(v > t for v in values[~matches]) / (~matches).sum()
        points.append((miss, false))
    share = verification.TARGET_PROBABILITY
    cost = min(share * miss + (1 - share) * false for miss, false in points) / min(share, 1 - share)
    assert metrics["min_dcf"] == pytest.approx(cost, abs=2e-6)
    for (m0, f0), (m1, f1) in zip(points, points[1:], strict=False):
        if m1 >= f1:
            part = (f0 - m0) / ((f0 - m0) + (m1 - f1)) if (f0 - m0) + (m1 - f1) else 0.0
            assert metrics["eer"] == pytest.approx(m0 + part * (m1 - m0), abs=2e-6)
            return
    raise AssertionError("the curves always cross")


@st.composite
def classifications(draw, multilabel: bool) -> tuple[np.ndarray, np.ndarray]:
    n, c = draw(st.integers(1, 12)), draw(st.integers(2, 8))
    parts = st.integers(0, 5) if multilabel else st.integers(1, 5)
    p = np.array(draw(st.lists(st.lists(parts, min_size=c, max_size=c), min_size=n, max_size=n)), float)
    p = p / 5 if multilabel else p / p.sum(1, keepdims=True)
    if multilabel:
        y = np.array(draw(st.lists(st.lists(st.booleans(), min_size=c, max_size=c), min_size=n, max_size=n)))
        y[0, 0] = True
    else:
        y = np.arange(c) == np.array(draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n)))[:, None]
    return p, y


@pytest.mark.parametrize("multilabel", [False, True])
@max_examples(100)
@given(st.data())
def test_classification_equals_its_definition(multilabel, data):
    p, y = data.draw(classifications(multilabel))
    n, c = p.shape
    metrics = classification.evaluate(p, y, multilabel, bootstrap=0)
    predicted = [
        [p[i, k] > 0.5 if multilabel else k == list(p[i]).index(max(p[i])) for k in range(c)]
        for i in range(n)
    ]
    f1, precision = [], []
    for k in range(c):
        if not y[:, k].any():
            continue
        hit = sum(predicted[i][k] and y[i, k] for i in range(n))
        false = sum(predicted[i][k] and not y[i, k] for i in range(n))
        miss = sum(not predicted[i][k] and y[i, k] for i in range(n))
        f1.append(2 * hit / (2 * hit + false + miss))
        total, before = 0.0, 0.0
        for t in sorted(set(p[:, k]), reverse=True):
            clips = [i for i in range(n) if p[i, k] >= t]
            recall = sum(y[i, k] for i in clips) / y[:, k].sum()
            total += (recall - before) * sum(y[i, k] for i in clips) / len(clips)
            before = recall
        precision.append(total)
    slow = {"f1_macro": sum(f1) / len(f1), "map": sum(precision) / len(precision)}
    if not multilabel:
        slow["accuracy"] = sum(predicted[i][k] and y[i, k] for i in range(n) for k in range(c)) / n
        decisions = [(max(p[i]), any(predicted[i][k] and y[i, k] for k in range(c))) for i in range(n)]
    else:
        decisions = [
            (max(p[i, k], 1 - p[i, k]), predicted[i][k] == y[i, k]) for i in range(n) for k in range(c)
        ]
    bins: dict[int, list] = {}
    for confidence, is_correct in decisions:
        bins.setdefault(min(max(math.ceil(confidence * 15) - 1, 0), 14), []).append((confidence, is_correct))
    gaps = [abs(sum(r for _, r in b) - sum(s for s, _ in b)) for b in bins.values()]
    slow["ece"] = sum(gaps) / len(decisions)
    assert_equal(metrics, slow)
