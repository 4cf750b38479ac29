"""Metrics of one experiment with several seeds: mean, value per seed, and an interval over the clips."""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import codes, interval, number, resamples


def accuracy(is_correct: np.ndarray, groups: list, bootstrap: int, seed: int) -> dict[str, Any]:
    """Return {"accuracy", "ci", "n", "seeds"}; the interval is that of the mean over seeds.

    is_correct: (seeds, n) bool, whether each seed's model classified each clip correctly. groups: (n,), the
    units of resampling.
    """
    is_correct = np.asarray(is_correct, float)
    share = is_correct.mean(0)
    code, count = codes(groups)
    weights = [w[:, code] for w in resamples(count, bootstrap, seed, width=len(share))]
    values = [w @ share / np.where(w.sum(1) > 0, w.sum(1), np.nan) for w in weights]
    return {
        "accuracy": number(share.mean()),
        "ci": {"accuracy": interval(values)},
        "n": len(share),
        "seeds": [number(x) for x in is_correct.mean(1)],
    }


def mean(results: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the mean of `key` over the seeds' results, each value, and the mean of both interval ends."""
    ends = np.array([r["ci"][key] for r in results], float)
    return {
        key: number(np.mean([r[key] for r in results])),
        "ci": {key: [number(x) for x in ends.mean(0)]},
        "n": results[0]["n"],
        "seeds": [r[key] for r in results],
    }


def cell(result: dict[str, Any] | None, key: str = "accuracy") -> str:
    """Format a result as a cell of a Markdown table: mean and interval, and below them each seed's value."""
    if result is None:
        return ""
    low, high = result["ci"][key]
    seeds = ", ".join(f"{x:.3f}" for x in result["seeds"])
    return f"{result[key]:.3f} [{low:.3f}, {high:.3f}]<br>{seeds}"
