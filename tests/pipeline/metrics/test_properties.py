"""What a metric is by definition, for any input: loops that say what the top of each module says."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.metrics import classification, correspondence, retrieval, verification
from testing.strategies import some


@st.composite
def searched(draw) -> tuple[dict, list[list[str]], int]:
    """Vectors with many ties, whose distances floats hold exactly; labels, some with none."""
    n, dim = draw(st.integers(1, 14)), 4
    axes = np.vstack([np.eye(dim), -np.eye(dim), np.zeros(dim)]).astype(np.float32)
    choose = st.lists(st.integers(0, 2 * dim), min_size=n, max_size=n)
    embeddings = {side: axes[draw(choose)] * draw(st.sampled_from([1.0, 2.0])) for side in ("audio", "video")}
    labels = draw(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=n, max_size=n))
    return embeddings, labels, draw(st.integers(0, 5))


def slow_retrieval(embeddings: dict, labels: list[list[str]], seed: int, direction: str) -> dict:
    """Definitions at the top of pipeline/metrics/retrieval.py, one query after the other."""
    source, target = retrieval.DIRECTIONS[direction]
    across, n = source != target, len(labels)
    unit = {s: [v / (np.linalg.norm(v) or 1) for v in embeddings[s].astype(float)] for s in embeddings}
    place = {int(j): rank for rank, j in enumerate(np.random.default_rng(seed).permutation(n))}
    found: dict[str, list[float]] = {m: [] for m in retrieval.METRICS}
    for i in range(n):
        near = sorted(
            range(n), key=lambda j: (round(sum((unit[source][i] - unit[target][j]) ** 2), 6), place[j])
        )
        others = [j for j in near if j != i]
        gains = [len(set(labels[i]) & set(labels[j])) for j in others]
        if across:
            for k in retrieval.KS:
                found[f"recall_{k}"].append(float(i in near[:k]))
        elif any(gains):
            for k in retrieval.KS:
                found[f"recall_{k}"].append(float(any(gains[:k])))
        if any(gains):
            cut = retrieval.CUT
            best = sorted(gains, reverse=True)
            dcg, ideal = (
                sum(g / math.log2(rank + 2) for rank, g in enumerate(order[:cut])) for order in (gains, best)
            )
            found[f"ndcg_{cut}"].append(dcg / ideal)
            hits, total = 0, 0.0
            for rank, g in enumerate(gains, 1):
                if g:
                    hits += 1
                    total += hits / rank
            found["map"].append(total / hits)
    return {m: sum(v) / len(v) if v else None for m, v in found.items()}


def equal(found: dict, slow: dict) -> None:
    for name, value in slow.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=2e-6)), name


@some(120)
@given(searched())
def test_retrieval_is_what_its_words_say(asked):
    embeddings, labels, seed = asked
    found = retrieval.evaluate(embeddings, labels, bootstrap=0, seed=seed)
    for direction in retrieval.DIRECTIONS:
        equal(found[direction], slow_retrieval(embeddings, labels, seed, direction))


@st.composite
def judged(draw, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and what is true."""
    values = st.integers(-4, 4).map(lambda v: v / 4) | st.floats(-1e6, 1e6)
    found = draw(st.lists(st.tuples(values, st.booleans()), min_size=least, max_size=30))
    return np.array([v for v, _ in found]), np.array([m for _, m in found])


@some(150)
@given(judged(), st.integers(-4, 4).map(lambda v: v / 4))
def test_correspondence_is_what_its_words_say(pairs_, threshold):
    values, matches = pairs_
    found = correspondence.correspondence(values, matches, threshold, bootstrap=0)
    right = [(v >= threshold) == m for v, m in zip(values, matches, strict=True)]
    assert found["accuracy"] == pytest.approx(sum(right) / len(right), abs=2e-6)
    yes, no = values[matches], values[~matches]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in yes for b in no]
    assert found["auc"] == (pytest.approx(sum(wins) / len(wins), abs=2e-6) if wins else None)
    best = correspondence.best_threshold(values, matches)
    tried = [sum((v >= t) == m for v, m in zip(values, matches, strict=True)) for t in [*values, np.inf]]
    assert sum((v >= best) == m for v, m in zip(values, matches, strict=True)) == max(tried)


@some(100)
@given(judged(2))
def test_errors_of_verification_are_what_their_words_say(trials):
    values, matches = trials
    assume(matches.any() and not matches.all())
    found = verification.evaluate(values, matches, bootstrap=0)
    points = []
    for t in [-np.inf, *sorted(set(values.tolist()))]:  # all up to t are refused
        miss = sum(v <= t for v in values[matches]) / matches.sum()
        false = sum(v > t for v in values[~matches]) / (~matches).sum()
        points.append((miss, false))
    share = verification.TARGET
    cost = min(share * miss + (1 - share) * false for miss, false in points) / min(share, 1 - share)
    assert found["min_dcf"] == pytest.approx(cost, abs=2e-6)
    for (m0, f0), (m1, f1) in zip(points, points[1:], strict=False):
        if m1 >= f1:
            part = (f0 - m0) / ((f0 - m0) + (m1 - f1)) if (f0 - m0) + (m1 - f1) else 0.0
            assert found["eer"] == pytest.approx(m0 + part * (m1 - m0), abs=2e-6)
            return
    raise AssertionError("the curves always cross")


@st.composite
def told(draw, many: bool) -> tuple[np.ndarray, np.ndarray]:
    n, c = draw(st.integers(1, 12)), draw(st.integers(2, 8))
    parts = st.integers(0, 5) if many else st.integers(1, 5)
    p = np.array(draw(st.lists(st.lists(parts, min_size=c, max_size=c), min_size=n, max_size=n)), float)
    p = p / 5 if many else p / p.sum(1, keepdims=True)
    if many:
        y = np.array(draw(st.lists(st.lists(st.booleans(), min_size=c, max_size=c), min_size=n, max_size=n)))
        y[0, 0] = True
    else:
        y = np.arange(c) == np.array(draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n)))[:, None]
    return p, y


@pytest.mark.parametrize("many", [False, True])
@some(100)
@given(st.data())
def test_classification_is_what_its_words_say(many, data):
    p, y = data.draw(told(many))
    n, c = p.shape
    found = classification.evaluate(p, y, many, bootstrap=0)
    said = [[p[i, k] > 0.5 if many else k == list(p[i]).index(max(p[i])) for k in range(c)] for i in range(n)]
    f1, precision = [], []
    for k in range(c):
        if not y[:, k].any():
            continue
        hit = sum(said[i][k] and y[i, k] for i in range(n))
        false = sum(said[i][k] and not y[i, k] for i in range(n))
        miss = sum(not said[i][k] and y[i, k] for i in range(n))
        f1.append(2 * hit / (2 * hit + false + miss))
        total, before = 0.0, 0.0
        for t in sorted(set(p[:, k]), reverse=True):
            taken = [i for i in range(n) if p[i, k] >= t]
            recall = sum(y[i, k] for i in taken) / y[:, k].sum()
            total += (recall - before) * sum(y[i, k] for i in taken) / len(taken)
            before = recall
        precision.append(total)
    slow = {"f1_macro": sum(f1) / len(f1), "map": sum(precision) / len(precision)}
    if not many:
        slow["accuracy"] = sum(said[i][k] and y[i, k] for i in range(n) for k in range(c)) / n
        sure = [(max(p[i]), any(said[i][k] and y[i, k] for k in range(c))) for i in range(n)]
    else:
        sure = [(max(p[i, k], 1 - p[i, k]), said[i][k] == y[i, k]) for i in range(n) for k in range(c)]
    bins: dict[int, list] = {}
    for confidence, right in sure:
        bins.setdefault(min(max(math.ceil(confidence * 15) - 1, 0), 14), []).append((confidence, right))
    gaps = [abs(sum(r for _, r in b) - sum(s for s, _ in b)) for b in bins.values()]
    slow["ece"] = sum(gaps) / len(sure)
    equal(found, slow)
