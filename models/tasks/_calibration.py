"""Platt scaling: calibrate a matcher's logits, so that those of likely matches are above 0."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

MIN_DEVIATION = 1e-6  # standard deviation of logits, below which they count as equal


def platt_scaling(logits: np.ndarray, matches: np.ndarray) -> tuple[float, float] | None:
    """Fit (scale, offset) of calibrated logits, scale * logit + offset, by logistic regression (Platt, 1999).

    logits: (n,). matches: (n,) bool, with both values. Matches and non-matches have the same total weight.
    Returns None if the scale would not be positive, and if logits are equal or not finite.
    """
    if not np.isfinite(logits).all() or logits.std() < MIN_DEVIATION:
        return None
    mean, deviation = logits.mean(), logits.std()
    count = matches.sum()
    weights = {True: 1.0, False: count / (len(matches) - count)}
    # scikit-learn's default penalty (C=1) keeps the scale finite if a threshold separates all pairs.
    regression = LogisticRegression(class_weight=weights, solver="newton-cholesky", tol=1e-8)
    with warnings.catch_warnings():  # at the last digits the solver stops early, at the same result
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((logits[:, None] - mean) / deviation, matches)
    scale = regression.coef_.item() / deviation
    offset = regression.intercept_.item() - scale * mean
    return (scale, offset) if scale > 0 else None
