"""Mean and standard deviation of the training split's features, for models that normalise by them."""

from typing import Any

import numpy as np

from pipeline.dataset.dataset import Dataset

BLOCK = 64  # clips at a time


def statistics(data: Dataset) -> dict[str, Any]:
    """Return {"mean", "std", "clips", "columns"} over the unpadded columns of all training clips, as stored.

    One pass with a few clips in memory: means and squared deviations of blocks are merged (Chan et al.,
    1983), which stays accurate if the mean is large.
    """
    clips = data.indices("train")
    columns = data.windows.usable_columns(data.seconds[clips])
    count, mean, squares = 0, 0.0, 0.0
    for start in range(0, len(clips), BLOCK):
        block = zip(clips[start : start + BLOCK], columns[start : start + BLOCK], strict=True)
        values = np.concatenate([data.audio[c][:, :, :n].astype(float).ravel() for c, n in block])
        delta, n = values.mean() - mean, len(values)
        squares += values.var() * n + delta**2 * count * n / (count + n)
        mean += delta * n / (count + n)
        count += n
    deviation = (squares / max(count, 1)) ** 0.5
    return {
        "mean": round(float(mean), 6),
        "std": round(float(max(deviation, 1e-6)), 6),
        "clips": len(clips),
        "columns": int(columns.sum()),
    }
