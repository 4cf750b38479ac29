"""Calibration of a matcher's logits."""

import numpy as np
import pytest
from scipy.optimize import minimize

from models.tasks._calibration import fit_platt_scaling


def pairs(seed=0, shift=2.0):
    """Logits of 30 matches and of 300 others, whose mean is lower by `shift`."""
    rng = np.random.default_rng(seed)
    matches = np.repeat([True, False], [30, 300])
    return rng.normal(5, 1, 330) + shift * matches, matches


def test_it_minimizes_the_cross_entropy_with_balanced_weights():
    logits, matches = pairs()
    deviation = logits.std()

    def loss(parameters):
        z = parameters[0] * logits / deviation + parameters[1]
        terms = np.logaddexp(0, np.where(matches, -z, z))
        return 30 * (terms[matches].mean() + terms[~matches].mean()) + parameters[0] ** 2 / 2

    scale, offset = minimize(loss, [1.0, 0.0]).x
    assert fit_platt_scaling(logits, matches) == pytest.approx((scale / deviation, offset), rel=1e-3)


def test_the_threshold_is_between_matches_and_others():
    scale, offset = fit_platt_scaling(*pairs())
    assert -offset / scale == pytest.approx(6, abs=0.3)


def test_the_scale_is_finite_if_a_threshold_separates_all_pairs():
    logits, matches = pairs(shift=1000.0)
    scale, offset = fit_platt_scaling(logits, matches)
    assert np.isfinite([scale, offset]).all() and 100 < -offset / scale < 900


def test_no_scaling_reverses_the_order():
    assert fit_platt_scaling(*pairs(shift=-2.0)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_not_scaled(value):
    logits, matches = pairs()
    logits[3] = value
    assert fit_platt_scaling(logits, matches) is None


def test_equal_logits_are_not_scaled():
    assert fit_platt_scaling(np.full(330, 0.1), pairs()[1]) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("mean", "deviation"), [(5, 1e-5), (1e4, 1.0), (0, 1e-4), (0, 1e4)])
def test_logits_of_any_size_are_scaled(mean, deviation):
    logits, matches = pairs()
    scale, offset = fit_platt_scaling(mean + deviation * logits, matches)
    expected, expected_offset = fit_platt_scaling(logits, matches)
    assert scale * deviation == pytest.approx(expected, rel=1e-4)
    assert offset + scale * mean == pytest.approx(expected_offset, rel=1e-4)
