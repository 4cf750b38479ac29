"""Metrics of one experiment with several seeds: mean, value per seed, and an interval over the clips."""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import round_finite, summarize_means


def accuracy(is_correct: np.ndarray, groups: list, bootstrap: int, seed: int) -> dict[str, Any]:
    """Return the accuracy of the models of several seeds: {"accuracy", "ci", "n", "seeds"}.

    is_correct: (seeds, n) bool, whether each seed's model classified each clip correctly. groups: (n,) the
    group of each clip; whole groups are resampled. bootstrap: number of resamples.
    "accuracy" is the mean over seeds and {"accuracy": [low, high]} in "ci" its interval; "n" is the number of
    clips; "seeds" has the accuracy of each seed.
    """
    is_correct = np.asarray(is_correct, float)
    clip_accuracy = is_correct.mean(0)  # of each clip, over the seeds
    metrics = summarize_means({"accuracy": clip_accuracy}, groups, bootstrap, seed)
    return metrics | {"seeds": [round_finite(seed_accuracy) for seed_accuracy in is_correct.mean(1)]}


def mean(results: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Average a metric over the results of several seeds.

    results: of each seed, {metric: value, "ci": {metric: [low, high]}, "n"}.
    Returns {metric: mean, "ci": {metric: [mean of low, mean of high]}, "n", "seeds": value of each seed}.
    """
    intervals = np.array([result["ci"][metric] for result in results], float)
    return {
        metric: round_finite(np.mean([result[metric] for result in results])),
        "ci": {metric: [round_finite(end) for end in intervals.mean(0)]},
        "n": results[0]["n"],
        "seeds": [result[metric] for result in results],
    }


def cell(result: dict[str, Any] | None, metric: str = "accuracy") -> str:
    """Format a result as a cell of a Markdown table: mean and interval, and below them each seed's value.

    result: of `accuracy` or `mean` in this module; None gives an empty cell.
    """
    if result is None:
        return ""
    low, high = result["ci"][metric]
    seeds = ", ".join(f"{value:.3f}" for value in result["seeds"])
    return f"{result[metric]:.3f} [{low:.3f}, {high:.3f}]<br>{seeds}"
