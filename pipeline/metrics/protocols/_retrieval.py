"""Retrieval between sounds and pictures by the clip itself: which of all pictures is that of this sound?

From c_kl, the cosine of window k of a query clip and window l of another clip, the similarity of two clips:

- `diagonal_mean`: the mean of c_kk over k (the published one); `diagonal_max`: the largest c_kk;
- `mean`, `max`: over all pairs of windows.

If a model's matcher is no distance, its score is c_kl. `recall_k`: the fraction of queries whose own clip is
among the k most similar ones. `median_rank`: of the own clip, from 1. Ties count against the query: a clip
that is as similar as the own one ranks before it. (In the authors' code a tie counts twice and enlarges the
denominator; a model whose embeddings are all equal would have a recall of 1.)

Source: CAV-MAE (arXiv 2210.07839), CAV-MAE Sync (arXiv 2505.01237).
"""

from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import round_finite, summarize
from pipeline.metrics.protocols._base import SHARED_WINDOWS, Listing, Options, Protocol, Subset, Windows, fail
from pipeline.store import list_files

KS = (1, 5, 10)  # of `recall_k`
SIMILARITIES = ("diagonal_mean", "diagonal_max", "mean", "max")


class Retrieval(Protocol):
    """Retrieval of the own clip, in both directions, on the clips of a JSON list of CAV-MAE's form."""

    needs = SHARED_WINDOWS
    measures = "R@1, R@5, R@10, median rank, both directions"
    blind_guess = "a random order: k / n, (n + 1) / 2"

    def read(self, path: str) -> Listing:
        """Read `{"data": [{"video_id": ...}, ...]}`."""
        content = list_files.read_json(path, path, "data.subset_lists")
        try:
            ids = [entry["video_id"] for entry in content["data"]]
            if not ids or not all(isinstance(name, str) and name for name in ids):
                raise ValueError("a video_id is no text, or there is none")
        except (TypeError, KeyError, ValueError) as e:
            fail(path, f"no list of clips under data ({type(e).__name__}: {e})")
        return Listing(dict.fromkeys(ids))

    def evaluate(self, outputs: Windows, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute the recalls and the median rank in both directions."""
        similarity = combine(outputs, options.similarity)
        return {
            "n": len(similarity),
            "windows": next(iter(outputs.embeddings.values())).shape[1],
            "similarity": options.similarity,
            "audio_to_video": rank_metrics(similarity, subset.groups, options.bootstrap, options.seed),
            "video_to_audio": rank_metrics(similarity.T, subset.groups, options.bootstrap, options.seed),
        }


def combine(windows: Windows, similarity: str) -> np.ndarray:
    """Return the similarity of each sound (row) to each picture, (n, n).

    similarity: one of SIMILARITIES. Raises ValueError for values that are not finite.
    """
    audio, video = (np.asarray(windows.embeddings[side]) for side in ("audio", "video"))
    n, k, _ = audio.shape

    def compare(i: int, j: int) -> np.ndarray:
        return windows.score(audio[:, i], video[:, j]) if windows.score else audio[:, i] @ video[:, j].T

    if not windows.score and similarity == "diagonal_mean":
        result = audio.reshape(n, -1) @ video.reshape(n, -1).T / k
    elif not windows.score and similarity == "mean":
        result = audio.mean(1) @ video.mean(1).T
    else:
        is_diagonal = similarity.startswith("diagonal")
        pairs = [(i, j) for i in range(k) for j in range(k) if i == j or not is_diagonal]
        result = np.asarray(compare(*pairs[0]))
        for pair in pairs[1:]:
            values = compare(*pair)
            result = np.maximum(result, values) if similarity.endswith("max") else result + values
        if similarity.endswith("mean"):
            result = result / len(pairs)
    if not np.isfinite(result).all():
        raise ValueError("there are similarities that are not finite numbers")
    return result


def rank_metrics(similarity: np.ndarray, groups: Any, bootstrap: int, seed: int) -> dict[str, Any]:
    """Return recalls and median rank of queries (rows), whose own clips are on the diagonal.

    similarity: (n, n), higher is more similar. groups: (n,) of the queries, which are resampled together.
    """
    n = len(similarity)
    ranks = (similarity >= np.diagonal(similarity)[:, None]).sum(1)  # from 1: the own clip counts itself
    is_hit = ranks[:, None] <= np.array(KS)  # (n, k)
    order = np.argsort(ranks, kind="stable")

    def compute_metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        recalls = weights @ is_hit / weights.sum(1, keepdims=True)
        metrics = {f"recall_{k}": recalls[:, i] for i, k in enumerate(KS)}
        return metrics | {"median_rank": _medians(ranks[order], weights[:, order])}

    chance = {f"recall_{k}": round_finite(min(k, n) / n) for k in KS} | {"median_rank": (n + 1) / 2}
    return summarize(compute_metrics, n, groups, bootstrap, seed) | {"chance": chance}


def _medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the median of `values` under each row of weights, (b,).

    values: (n,) ascending. weights: (b, n), how often each value counts.
    """
    count = np.cumsum(weights, axis=1)
    total = count[:, -1:]
    lower = (count > (total - 1) // 2).argmax(1)
    upper = (count > total // 2).argmax(1)
    return (values[lower] + values[upper]) / 2
