"""Platt scaling: calibrate a matcher's logits, so that those of likely matches are above 0."""

import warnings

import numpy as np

MIN_DEVIATION = 1e-6  # standard deviation of logits, below which they count as equal


def fit_platt_scaling(logits: np.ndarray, is_match: np.ndarray) -> tuple[float, float] | None:
    """Find (scale, offset) so that scale * logit + offset is a calibrated logit, above 0 for a likely match.

    Fits a logistic regression (Platt, 1999). logits: (n,), of n pairs. is_match: (n,) bool, whether each pair
    matches; both values must occur. All matches together weigh as much as all other pairs.
    Returns None if the logits are all equal or not all finite, and if the scale is not positive: then higher
    logits do not mean likelier matches.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow: only training needs it
    from sklearn.linear_model import LogisticRegression

    if not np.isfinite(logits).all() or logits.std() < MIN_DEVIATION:
        return None
    mean, deviation = logits.mean(), logits.std()
    match_count = is_match.sum()
    class_weight = {True: 1.0, False: match_count / (len(is_match) - match_count)}
    # scikit-learn's default penalty (C=1) keeps the scale finite if a threshold separates all pairs.
    regression = LogisticRegression(class_weight=class_weight, solver="newton-cholesky", tol=1e-8)
    with warnings.catch_warnings():
        # The solver may warn that rounding errors stop it before `tol` is reached; its result is good then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((logits[:, None] - mean) / deviation, is_match)
    # The regression saw standardized logits: convert its line to one for the original logits.
    scale = regression.coef_.item() / deviation
    offset = regression.intercept_.item() - scale * mean
    return (scale, offset) if scale > 0 else None
