"""Mean and standard deviation of the training split's features, for models that normalise by them."""

from typing import Any

import numpy as np

from pipeline.dataset.dataset import Dataset

BLOCK_CLIPS = 64  # clips in memory at a time


def compute_statistics(data: Dataset) -> dict[str, Any]:
    """Return {"mean", "std", "clips", "columns"} of the stored spectrograms of all training clips with sound.

    Columns that are padding are left out; "clips" and "columns" are the numbers of both.
    One pass with a few clips in memory: means and squared deviations of blocks are merged (Chan et al.,
    1983), which stays accurate if the mean is large.
    """
    clips = data.indices("train")
    clips = clips[data.has_side("audio")[clips]]
    columns = data.windows.usable_columns(data.seconds[clips])
    # Of all blocks so far; squares: the sum of squared deviations from the mean.
    count, mean, squares = 0, 0.0, 0.0
    for start in range(0, len(clips), BLOCK_CLIPS):
        block = slice(start, start + BLOCK_CLIPS)
        spectrograms = [
            data.audio[clip][:, :, :n_columns].astype(float).ravel()
            for clip, n_columns in zip(clips[block], columns[block], strict=True)
        ]
        values = np.concatenate(spectrograms)
        delta, n = values.mean() - mean, len(values)
        squares += values.var() * n + delta**2 * count * n / (count + n)
        mean += delta * n / (count + n)
        count += n
    deviation = (squares / max(count, 1)) ** 0.5
    return {
        "mean": round(float(mean), 6),
        "std": round(float(max(deviation, 1e-6)), 6),  # models divide by it
        "clips": len(clips),
        "columns": int(columns.sum()),
    }
