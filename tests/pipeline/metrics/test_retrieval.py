import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from pipeline.metrics import retrieval
from pipeline.metrics.retrieval import DIRECTIONS, METRICS


def toy(n=60, d=8, kinds=4, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    centre, kind = rng.normal(size=(kinds, d)), rng.integers(0, kinds, n)
    audio, video = (centre[kind] + noise * rng.normal(size=(n, d)) for _ in range(2))
    labels = [[f"kind {k}"] + (["loud"] if rng.random() < 0.3 else []) for k in kind]
    return {"audio": audio.astype(np.float32), "video": video.astype(np.float32)}, labels


def count_shared_labels(labels):
    return np.array([[len(set(a) & set(b)) for b in labels] for a in labels])


def distances(embeddings, source, target):
    a, b = (embeddings[m] / np.linalg.norm(embeddings[m], axis=1, keepdims=True) for m in (source, target))
    return np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("n", [60, 20, 2])
def test_agrees_with_scikit_learn(direction, n):
    embeddings, labels = toy(n)
    gains, distance = count_shared_labels(labels), distances(embeddings, *DIRECTIONS[direction])
    np.fill_diagonal(gains, 0)
    ndcg, precision = [], []
    for i in range(n):
        candidates = np.arange(n) != i
        if gains[i].any() and n > 2:
            ndcg.append(ndcg_score([gains[i, candidates]], [-distance[i, candidates]], k=30))
            precision.append(average_precision_score(gains[i, candidates] > 0, -distance[i, candidates]))
    metrics = retrieval.evaluate(embeddings, labels, bootstrap=0)[direction]
    if n > 2:
        assert metrics["ndcg_30"] == pytest.approx(np.mean(ndcg), abs=1e-5)
        assert metrics["map"] == pytest.approx(np.mean(precision), abs=1e-5)
    assert metrics["n"] == n and metrics["n_relevant"] == int((gains.sum(1) > 0).sum())
    for k in (1, 5, 10):
        order = np.argsort(
            distance + (np.diag([np.inf] * n) if direction[:5] == direction[-5:] else 0), axis=1
        )
        if direction[:5] == direction[-5:]:
            hit = [gains[i, order[i, : min(k, n - 1)]].any() for i in range(n) if gains[i].any()]
        else:
            hit = [i in order[i, :k] for i in range(n)]
        assert metrics[f"recall_{k}"] == (pytest.approx(np.mean(hit), abs=1e-6) if hit else None)


def line(*places):
    """Unit vectors at these angles in degrees: nearer angles are nearer clips."""
    angle = np.deg2rad(places)
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def test_by_hand():
    embeddings = {"audio": line(0, 10, 30, 60), "video": line(1, 61, 31, 12)}
    labels = [["a", "b"], ["a"], ["a", "b"], ["c"]]
    metrics = retrieval.evaluate(embeddings, labels, bootstrap=0)
    discount = [1 / math.log2(i + 2) for i in range(3)]

    # among sounds the first results of 0, 1 and 2 are 1, 0 and 1; no other clip has the label of 3
    sounds = metrics["audio_to_audio"]
    assert sounds["n"] == 4 and sounds["n_relevant"] == 3
    assert sounds["recall_1"] == 1.0

    # the sounds at 0, 10, 30 and 60 degrees rank the pictures 0 3 2 1, 3 0 2 1, 2 3 0 1 and 1 2 3 0
    across = metrics["audio_to_video"]
    assert across["recall_1"] == 0.5 and across["recall_5"] == 1.0
    # without the query's clip: 3 2 1 with gains 0 2 1, 3 0 2 with gains 0 1 1, 3 0 1 with gains 0 2 1
    best = 2 * discount[0] + discount[1]
    ndcg = [
        (2 * discount[1] + discount[2]) / best,
        (discount[1] + discount[2]) / (discount[0] + discount[1]),
        (2 * discount[1] + discount[2]) / best,
    ]
    assert across["ndcg_30"] == pytest.approx(np.mean(ndcg), abs=1e-6)
    assert across["map"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-6)


def test_precision_by_hand():
    embeddings = {"audio": line(0, 10, 30, 60), "video": line(1, 61, 31, 12)}
    metrics = retrieval.evaluate(embeddings, [["a", "b"], ["a"], ["a", "b"], ["c"]], bootstrap=50)
    # The first results of the clips 0, 1 and 2, without the clip itself: sounds 1 0 1, pictures 3 3 3.
    assert metrics["audio_to_audio"]["precision_1"] == 1.0
    assert metrics["audio_to_video"]["precision_1"] == 0.0
    # The pictures rank the sounds 0 1 2 3, 3 2 1 0, 2 1 0 3 and 1 0 2 3: the first results are 1 3 1.
    assert metrics["video_to_audio"]["precision_1"] == pytest.approx(2 / 3, abs=1e-6)
    for direction in DIRECTIONS:  # each query has 3 candidates, of which 2 are relevant
        assert metrics[direction]["precision_5"] == pytest.approx(2 / 5)
        assert metrics[direction]["precision_10"] == pytest.approx(2 / 10)
        chance = metrics[direction]["chance"]
        assert [chance[f"precision_{k}"] for k in (1, 5, 10)] == pytest.approx(
            [2 / 3, 2 / 5, 1 / 5], abs=1e-6
        )
        assert metrics[direction]["ci"]["precision_5"] == [0.4, 0.4]  # of all queries that have a label


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_chance_is_the_mean_over_all_orders(direction):
    """Five clips: every metric averaged over every order that the candidates can have."""
    labels = [["a", "b"], ["a"], ["a", "b"], ["c"], ["b"]]
    gains = count_shared_labels(labels)
    np.fill_diagonal(gains, 0)
    across = direction[:5] != direction[-5:]
    sums = []
    for i in range(5):
        per_order = []
        for order in itertools.permutations(range(5)):
            near = np.zeros((1, 5), np.float32)
            near[0, list(order)] = np.arange(5, 0, -1)
            row = gains[i : i + 1].astype(np.float32)
            ideal = retrieval._ideal_dcg(row)
            per_order.append(retrieval._query_metrics(near, row, ideal, np.array([i]), across)[0][0])
        sums.append(np.mean(per_order, axis=0))
    expected = dict(zip(retrieval.METRICS, np.nanmean(sums, axis=0), strict=True))
    embeddings = {"audio": np.eye(5, dtype=np.float32), "video": np.eye(5, dtype=np.float32)}
    chance = retrieval.evaluate(embeddings, labels, bootstrap=0)[direction]["chance"]
    assert chance == pytest.approx(expected, abs=1e-6)


def test_random_embeddings_are_at_chance():
    rng = np.random.default_rng(0)
    embeddings = {m: rng.normal(size=(400, 16)).astype(np.float32) for m in ("audio", "video")}
    labels = [[f"{k}"] for k in rng.choice(5, 400, p=[0.4, 0.3, 0.15, 0.1, 0.05])]
    for metrics in retrieval.evaluate(embeddings, labels, bootstrap=200).values():
        for metric in METRICS:
            assert metrics[metric] == pytest.approx(metrics["chance"][metric], abs=0.06)


def test_a_collapsed_model_is_at_chance():
    """All embeddings are equal: ties favour neither the query's counterpart nor the order of the rows."""
    labels = sorted([f"{i % 5}"] for i in range(300))
    constant = {m: np.ones((300, 4), np.float32) for m in ("audio", "video")}
    metrics = retrieval.evaluate(constant, labels, bootstrap=0)["audio_to_video"]
    assert metrics["recall_1"] == pytest.approx(1 / 300, abs=1e-6)
    assert metrics["recall_10"] == pytest.approx(10 / 300, abs=1e-6)
    assert metrics["ndcg_30"] == pytest.approx(metrics["chance"]["ndcg_30"], abs=0.03)


def test_perfect_model():
    labels = [[f"{i // 10}"] for i in range(50)]
    kinds = np.eye(5, dtype=np.float32)[np.arange(50) // 10]
    metrics = retrieval.evaluate({"audio": 3 * kinds, "video": kinds}, labels, bootstrap=50)
    for direction in DIRECTIONS:
        assert metrics[direction]["ndcg_30"] == 1.0 and metrics[direction]["map"] == 1.0
        assert metrics[direction]["ci"]["map"] == [1.0, 1.0]


@pytest.mark.parametrize("labels", [None, [[]] * 30])
def test_without_labels(labels):
    embeddings, _ = toy(30)
    metrics = retrieval.evaluate(embeddings, labels, bootstrap=20)
    for direction in ("audio_to_audio", "video_to_video"):
        assert all(metrics[direction][m] is None for m in METRICS)
        assert metrics[direction]["ci"] == dict.fromkeys(METRICS)
        assert metrics[direction]["chance"] == dict.fromkeys(METRICS)
    across = metrics["video_to_audio"]
    assert across["ndcg_30"] is None and across["map"] is None and across["n_relevant"] == 0
    assert across["recall_10"] is not None and across["ci"]["recall_10"] is not None
    assert across["chance"]["recall_10"] == pytest.approx(1 / 3, abs=1e-6)


def test_queries_without_relevant_clips_are_left_out():
    embeddings = {"audio": line(0, 10, 90), "video": line(0, 10, 90)}
    metrics = retrieval.evaluate(embeddings, [["a"], ["a"], ["b"]], bootstrap=10)["audio_to_audio"]
    assert metrics["n"] == 3 and metrics["n_relevant"] == 2
    assert metrics["ndcg_30"] == 1.0 and metrics["recall_1"] == 1.0


def test_one_clip():
    one = {"audio": line(0), "video": line(40)}
    metrics = retrieval.evaluate(one, [["a"]], bootstrap=10)
    assert (
        metrics["audio_to_video"]["recall_1"] == 1.0
        and metrics["audio_to_video"]["chance"]["recall_1"] == 1.0
    )
    assert metrics["audio_to_video"]["ndcg_30"] is None and metrics["audio_to_audio"]["recall_10"] is None


def test_blocks_do_not_change_the_result(monkeypatch):
    embeddings, labels = toy(50)
    whole = retrieval.evaluate(embeddings, labels, bootstrap=30)
    monkeypatch.setattr(retrieval, "_BLOCK_PAIRS", 7 * 50)
    parts = retrieval.evaluate(embeddings, labels, bootstrap=30)
    for direction in DIRECTIONS:
        for metric in METRICS:
            assert parts[direction][metric] == pytest.approx(whole[direction][metric], abs=1e-6)


def test_sort_keys_have_the_order_of_the_numbers():
    values = np.array([[0.5, -0.5, 0.0, -0.0, -3e30, 1e-42, 0.5, -1e-42, np.inf, -np.inf]], np.float32)
    order = np.argsort(retrieval._sort_keys(values)[0])
    assert order.tolist() == np.argsort(-values[0], kind="stable").tolist()


def test_score_function_replaces_the_distance_across_modalities():
    embeddings, labels = toy(40)
    calls = []

    def score(a, v):
        calls.append((a.shape, v.shape))
        return a @ np.diag([-1.0] * 8).astype(np.float32) @ v.T

    with_score = retrieval.evaluate(embeddings, labels, bootstrap=0, score=score)
    plain = retrieval.evaluate(embeddings, labels, bootstrap=0)
    assert len(calls) == 2
    assert with_score["audio_to_audio"] == plain["audio_to_audio"]
    assert with_score["audio_to_video"]["map"] < plain["audio_to_video"]["map"]
    negated = {"audio": -embeddings["audio"], "video": embeddings["video"]}

    def dot(a, v):
        return a @ v.T

    for direction in ("audio_to_video", "video_to_audio"):
        negated_metrics = retrieval.evaluate(negated, labels, bootstrap=0, score=dot)[direction]
        assert negated_metrics["map"] == pytest.approx(with_score[direction]["map"], abs=1e-6)


def test_groups_widen_the_interval():
    embeddings, labels = toy(20, noise=0.6)
    repeated = {m: np.repeat(e, 10, axis=0) for m, e in embeddings.items()}
    tags = [t for t in labels for _ in range(10)]
    alone = retrieval.evaluate(repeated, tags, bootstrap=300)["audio_to_audio"]["ci"]["map"]
    groups = [f"video {i // 10}" for i in range(200)]
    grouped = retrieval.evaluate(repeated, tags, groups, bootstrap=300)["audio_to_audio"]["ci"]["map"]
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])


def test_nearest():
    embeddings = {"audio": line(0, 10, 30, 60), "video": line(1, 61, 31, 12)}
    assert [i for i, _ in retrieval.find_nearest(embeddings, "audio_to_video", [0], 3)[0]] == [0, 3, 2]
    without_query = retrieval.find_nearest(embeddings, "audio_to_video", [0], 3, include_query=False)
    assert [i for i, _ in without_query[0]] == [3, 2, 1]
    within = retrieval.find_nearest(embeddings, "audio_to_audio", [2, 0], 5)
    assert [[i for i, _ in row] for row in within] == [[1, 0, 3], [1, 2, 3]]
    assert within[1][0][1] == pytest.approx(math.cos(math.radians(10)), abs=1e-6)
    by_score = retrieval.find_nearest(embeddings, "video_to_audio", [3], 2, score=lambda a, v: -(a @ v.T))
    assert by_score[0][0][0] == 3


def test_bad_input_is_an_error():
    embeddings, labels = toy(10)
    with pytest.raises(ValueError, match="9 labels for 10"):
        retrieval.evaluate(embeddings, labels[:9])
    with pytest.raises(ValueError, match="no clips"):
        retrieval.evaluate({"audio": np.empty((0, 3)), "video": np.empty((0, 3))}, [])
    with pytest.raises(ValueError, match="not finite"):
        retrieval.evaluate({**embeddings, "audio": embeddings["audio"] * np.nan}, labels)
    with pytest.raises(ValueError, match="same n"):
        retrieval.evaluate({**embeddings, "audio": embeddings["audio"][:3]}, labels)
    with pytest.raises(ValueError, match="score gave"):
        retrieval.evaluate(embeddings, labels, score=lambda a, v: np.zeros(3))


def test_several_seeds_are_averaged_query_by_query():
    rng = np.random.default_rng(3)
    models = [{m: rng.normal(size=(12, 4)) for m in ("audio", "video")} for _ in range(3)]
    labels = [[f"l{i % 3}"] for i in range(12)]
    alone = [retrieval.evaluate(m, labels, bootstrap=100) for m in models]
    mean = retrieval.evaluate(models, labels, bootstrap=100)
    for direction, metrics in mean.items():
        for name in METRICS:
            assert metrics[name] == pytest.approx(np.mean([a[direction][name] for a in alone]), abs=1e-6)
    assert retrieval.evaluate(models[:1], labels, bootstrap=100) == alone[0]


def test_directions_of_a_modality():
    assert retrieval.directions_of("both") == list(DIRECTIONS)
    assert retrieval.directions_of("video") == ["video_to_video"]
