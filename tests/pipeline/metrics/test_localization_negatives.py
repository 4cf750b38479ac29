"""Measures with one threshold for all pictures, with numbers worked out by hand."""

import numpy as np
import pytest

from pipeline.metrics.localization import negatives
from pipeline.metrics.localization.negatives import NEGATIVES, negative_threshold, region_agreement

LEFT = np.array([[1.0, 0.0], [1.0, 0.0]])
TRUTH = np.stack([LEFT, LEFT])


def same_maps(maps):
    """Return the maps of a model that does not listen."""
    return {name: maps for name in ("sound", *NEGATIVES)}


def agreements(metrics):
    return {value for name, value in metrics["agreement"].items() if name not in ("n", "ci")}


def test_the_threshold_is_a_quantile_of_maxima():
    maps = {
        name: np.array([[[0.0, v]], [[0.0, v + 1.0]]]) for name, v in zip(NEGATIVES, (0, 2, 4), strict=True)
    }
    assert negative_threshold(maps, 0.0) == 0 and negative_threshold(maps, 1.0) == 5
    assert negative_threshold(maps, 0.5) == 2.5


def test_a_perfect_model():
    nothing = np.zeros((2, 2, 2))
    metrics = negatives.evaluate({"sound": TRUTH, **dict.fromkeys(NEGATIVES, nothing)}, TRUTH, 0.5, 20, 0)
    for name in ("overlap", "ciou", "auc", "pointing", "iou_half", "ciou_adaptive", "auc_adaptive"):
        assert metrics[name] == 1 and metrics["ci"][name] == [1, 1]
    assert metrics["f"] == metrics["f_auc"] == 1 and metrics["n"] == 2
    assert metrics["silence"] == {
        **{"n": 2, "pia": 0, "aoc": 1, "points": 0},
        "ci": {"pia": [0, 0], "aoc": [1, 1], "points": [0, 0]},
    }
    assert metrics["agreement"]["sound_noise"] == 0 and metrics["agreement"]["silence_off_screen"] == 1


def test_a_model_that_does_not_listen():
    """It points at the left half, whatever sounds: half of each picture is above the threshold."""
    metrics = negatives.evaluate(same_maps(TRUTH * 0.8), TRUTH, 0.5, 20, 0)
    assert agreements(metrics) == {1.0}
    assert metrics["noise"]["pia"] == 0.5 and metrics["noise"]["points"] == 1
    assert metrics["noise"]["aoc"] == 0.525  # 1[0.5 <= t]: ten whole steps, and half of the one before
    assert metrics["overlap"] == 1 and metrics["f"] == pytest.approx(2 * 1 * 0.5 / 1.5, abs=1e-6)
    assert metrics["f_auc"] == pytest.approx(2 * 1 * 0.525 / 1.525, abs=1e-6)
    silent = negatives.evaluate(same_maps(TRUTH * 0.8), TRUTH, 0.9, 20, 0)  # nothing is above
    assert agreements(silent) == {1.0}
    assert silent["overlap"] == 0 and silent["noise"]["aoc"] == 1 and silent["f"] == 0
    assert silent["pointing"] == 1 and silent["ciou_adaptive"] == 1  # they need no threshold


def test_metrics_of_a_map_by_hand():
    maps = np.array([[[0.9, 0.8], [0.1, 0.6]]])
    truth = np.array([[[1.0, 0.0], [1.0, 1.0]]])
    values = negatives.localization_values(maps, truth, 0.5)
    assert values["overlap"] == [2 / 4] and values["ciou"] == [1] and values["pointing"] == [1]
    assert values["iou_half"] == [1 / 4]  # of 0.9 and 0.8, one is inside
    assert values["auc_adaptive"] == pytest.approx([0.525])  # the three largest: 2 of 4
    assert negatives.active_share(maps, 0.7).tolist() == [0.5]


def test_regions_that_are_both_empty_agree():
    empty, full = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    assert region_agreement(empty, empty) == 1 and region_agreement(empty, full) == 0
    assert region_agreement(full, LEFT[None] > 0) == 0.5


def test_clips_in_which_nothing_sounds():
    metrics = negatives.evaluate_negatives(np.stack([LEFT, LEFT * 0]), 0.5, 200, 0, groups=["a", "b"])
    assert metrics["points"] == 0.5 and metrics["pia"] == 0.25 and metrics["n"] == 2
    assert metrics["ci"]["points"] == [0, 1]
