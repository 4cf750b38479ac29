"""One experiment with several seeds: the mean, each seed's value, and an interval over the clips."""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import codes, interval, number, resamples


def accuracy(right: np.ndarray, groups: list, bootstrap: int, seed: int) -> dict[str, Any]:
    """right: (seeds, n) bool, whether each seed's model told each clip. groups: (n,), drawn again together.

    Returns {"accuracy", "ci", "n", "seeds"}; the interval is over clips (groups), of the mean over seeds.
    """
    right = np.asarray(right, float)
    share = right.mean(0)
    code, count = codes(groups)
    drawn = [w[:, code] for w in resamples(count, bootstrap, seed, width=len(share))]
    values = [w @ share / np.where(w.sum(1) > 0, w.sum(1), np.nan) for w in drawn]
    return {
        "accuracy": number(share.mean()),
        "ci": {"accuracy": interval(values)},
        "n": len(share),
        "seeds": [number(x) for x in right.mean(1)],
    }


def mean(results: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Of several seeds' results with intervals: the mean of `key`, each value, and the mean of both ends."""
    ends = np.array([r["ci"][key] for r in results], float)
    return {
        key: number(np.mean([r[key] for r in results])),
        "ci": {key: [number(x) for x in ends.mean(0)]},
        "n": results[0]["n"],
        "seeds": [r[key] for r in results],
    }


def cell(result: dict[str, Any] | None, key: str = "accuracy") -> str:
    """For a table in Markdown: mean, interval, and below each seed's value."""
    if result is None:
        return ""
    low, high = result["ci"][key]
    seeds = ", ".join(f"{x:.3f}" for x in result["seeds"])
    return f"{result[key]:.3f} [{low:.3f}, {high:.3f}]<br>{seeds}"
