import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.metrics import bootstrap, correspondence


def pairs(n=300, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    matches = np.arange(n) % 2 == 0
    values = rng.normal(size=n) + matches
    return (np.round(values, 1) if ties else values), matches


def test_by_hand():
    result = correspondence.evaluate([0.9, 0.4, 0.6, 0.1], [True, True, False, False], 0.5, bootstrap=10)
    assert result["accuracy"] == 0.5  # 0.9 and 0.1 are classified correctly
    assert result["auc"] == 0.75  # of the four pairs of scores only (0.4, 0.6) is in the wrong order
    assert result["n"] == 4
    assert result["chance"] == {"accuracy": 0.5, "auc": 0.5}


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_accuracy_agree_with_scikit_learn(ties):
    values, matches = pairs(ties=ties)
    result = correspondence.evaluate(values, matches, 0.5, bootstrap=0)
    assert result["auc"] == pytest.approx(roc_auc_score(matches, values), abs=1e-6)
    assert result["accuracy"] == pytest.approx(((values >= 0.5) == matches).mean(), abs=1e-6)
    assert result["ci"] == {"accuracy": None, "auc": None}


def test_weighted_auc_agrees_with_scikit_learn():
    values, matches = pairs(ties=True)
    weights = np.random.default_rng(1).integers(0, 4, size=(5, len(values))).astype(float)
    expected = [roc_auc_score(matches, values, sample_weight=row) for row in weights]
    assert correspondence._AreaUnderCurve(values, matches)(weights) == pytest.approx(expected)


def test_equal_scores_count_half():
    assert correspondence.evaluate(np.zeros(6), np.arange(6) < 3, 0.0, bootstrap=5)["auc"] == 0.5


def test_one_kind_of_pair_has_no_auc():
    result = correspondence.evaluate([0.1, 0.2], [True, True], 0.0, bootstrap=20)
    assert result["accuracy"] == 1.0 and result["auc"] is None and result["ci"]["auc"] is None
    assert correspondence.roc_curve([0.1, 0.2], [True, True]) == []


def test_interval_has_the_width_of_theory():
    values, matches = pairs(2000)
    low, high = correspondence.evaluate(values, matches, 0.5, bootstrap=1000)["ci"]["accuracy"]
    accuracy = ((values >= 0.5) == matches).mean()
    assert low < accuracy < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2000), rel=0.1)


def test_pairs_of_one_group_are_resampled_together():
    values, matches = pairs(200)
    repeated_values, repeated_matches = np.tile(values, 9), np.tile(matches, 9)
    alone = correspondence.evaluate(values, matches, 0.5)["ci"]["accuracy"]
    groups = np.tile(np.arange(200), 9)
    grouped = correspondence.evaluate(repeated_values, repeated_matches, 0.5, groups)["ci"]["accuracy"]
    naive = correspondence.evaluate(repeated_values, repeated_matches, 0.5)["ci"]["accuracy"]
    assert grouped[1] - grouped[0] == pytest.approx(alone[1] - alone[0], rel=0.1)
    assert naive[1] - naive[0] < 0.5 * (alone[1] - alone[0])


def test_two_groups_per_pair_cover_the_truth():
    """Pairs sampled from few clips: resampling clips covers the truth, resampling pairs does not."""
    truth, by_clip, naive = 0.5, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sound, picture = rng.integers(0, 15, size=(2, 400))
        clip_effect = rng.normal(size=(2, 15))
        values = clip_effect[0][sound] + clip_effect[1][picture] + 0.3 * rng.normal(size=400)
        matches = np.ones(400, bool)
        groups = np.column_stack([sound, picture + 15])
        low, high = correspondence.evaluate(values, matches, 0.0, groups, 200, seed)["ci"]["accuracy"]
        by_clip += low <= truth <= high
        low, high = correspondence.evaluate(values, matches, 0.0, None, 200, seed)["ci"]["accuracy"]
        naive += low <= truth <= high
    assert by_clip >= 52 and naive < 40


def test_groups_may_be_names():
    values, matches = pairs(40)
    names = [f"video {i // 4}" for i in range(40)]
    a = correspondence.evaluate(values, matches, 0.5, names, 50)
    b = correspondence.evaluate(values, matches, 0.5, np.arange(40) // 4, 50)
    assert a == b


def test_same_seed_same_interval():
    values, matches = pairs()
    assert correspondence.evaluate(values, matches, 0.5, seed=3) == correspondence.evaluate(
        values, matches, 0.5, seed=3
    )


def test_speed():
    values, matches = pairs(2000)
    groups = np.random.default_rng(0).integers(0, 500, size=(2000, 2))
    start = time.perf_counter()
    correspondence.evaluate(values, matches, 0.5, groups, bootstrap=1000)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("ties", [False, True])
def test_no_threshold_is_better_than_best_threshold(ties):
    values, matches = pairs(101, ties=ties)
    accuracy = ((values >= correspondence.best_threshold(values, matches)) == matches).mean()
    thresholds = [*values, values.max() + 1, values.min() - 1]
    assert accuracy == max(((values >= t) == matches).mean() for t in thresholds)


def test_best_threshold_by_hand():
    assert correspondence.best_threshold([0.0, 1.0, 2.0, 4.0], [False, False, True, True]) == 1.5
    assert correspondence.best_threshold([0.25, 0.25], [True, True]) == 0.25
    assert correspondence.best_threshold([0.25], [False]) > 0.25
    near = np.nextafter(1.0, 2.0)
    assert correspondence.best_threshold([1.0, near], [False, True]) == near


@pytest.mark.parametrize("ties", [False, True])
def test_roc_agrees_with_scikit_learn(ties):
    values, matches = pairs(80, ties=ties)
    fpr, tpr, _ = roc_curve(matches, values, drop_intermediate=False)
    rows = correspondence.roc_curve(values, matches)
    assert [r["fpr"] for r in rows] == pytest.approx(fpr, abs=1e-6)
    assert [r["tpr"] for r in rows] == pytest.approx(tpr, abs=1e-6)


def test_long_roc_is_thinned_and_keeps_its_ends_and_area():
    values, matches = pairs(5000)
    rows = correspondence.roc_curve(values, matches)
    assert 100 < len(rows) <= 200
    assert rows[0] == {"fpr": 0.0, "tpr": 0.0} and rows[-1] == {"fpr": 1.0, "tpr": 1.0}
    area = np.trapezoid([r["tpr"] for r in rows], [r["fpr"] for r in rows])
    assert area == pytest.approx(roc_auc_score(matches, values), abs=2e-3)


@pytest.mark.parametrize(
    ("values", "matches", "words"),
    [
        ([], [], "no pairs"),
        ([0.1], [True, False], "must both be"),
        ([0.1, float("nan")], [True, False], "1 of 2 scores"),
    ],
)
def test_bad_input_is_an_error(values, matches, words):
    for call in (
        correspondence.best_threshold,
        correspondence.roc_curve,
        lambda v, m: correspondence.evaluate(v, m, 0.5),
    ):
        with pytest.raises(ValueError, match=words):
            call(values, matches)


def test_groups_of_another_length_are_an_error():
    with pytest.raises(ValueError, match="groups"):
        correspondence.evaluate([0.1, 0.2], [True, False], 0.5, groups=[1, 2, 3])


def test_areas_give_the_interval_of_the_auc():
    rng = np.random.default_rng(0)
    matches = np.arange(60) % 2 == 0
    values, groups = rng.normal(size=60) + matches, rng.integers(0, 12, (60, 2))
    areas = correspondence.resample_aucs(values, matches, groups, 300, 5)
    assert areas.shape == (300,)
    assert (
        bootstrap.percentile_interval([areas])
        == correspondence.evaluate(values, matches, 0.0, groups, 300, 5)["ci"]["auc"]
    )
    # The resamples are the same: an equivalent model has the same areas.
    assert np.array_equal(
        correspondence.resample_aucs(values * 2 + 1, matches, groups, 300, 5), areas, equal_nan=True
    )
