"""Retrieval metrics: the ranks of relevant clips, across and within modalities, in four directions.

Definitions, the same for every direction (in `audio_to_video` a sound is the query, and pictures are ranked):

- Every clip is a query once. Clips are ranked by Euclidean distance between embeddings of length one, or
  across modalities by a matcher's score. Ties are broken in a random order fixed by the seed.
- `ndcg_30`, `map`: a clip is relevant if it shares a label with the query; its gain is the number of labels
  shared. The query's clip is left out, across modalities too, so that both measure how well *other* clips of
  the same label are retrieved. nDCG has a linear gain and a log2 discount (Jarvelin and Kekalainen 2002; as
  sklearn.metrics.ndcg_score), cut at 30, against the ideal order of the same candidates. map is the mean of
  average precision over the whole ranking. Queries with no relevant clip are left out of both.
- `recall_k` across modalities: the fraction of queries whose counterpart (the same clip) is among the first
  k. This needs no labels.
- `recall_k` within a modality: the fraction of queries with a relevant clip among the first k, without the
  query itself, over the queries that have a relevant clip.
- `precision_k`: the fraction of the first k results that share a label with the query. The query's clip is
  left out, across modalities too; so are queries with no relevant clip. It needs no counterpart, so it also
  measures a model that learned from categories.
- `n` is the number of queries, `n_relevant` of those that have a relevant clip, over which label-based
  metrics are averaged; an undefined metric is None.
- `chance` is the exact expected value of each metric, over the same queries, when the ranking is random.
- `ci` is a 95% percentile bootstrap over queries (or over their groups); the ranked clips stay the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

CUT = 30  # ranks that nDCG counts
KS = (1, 5, 10)  # of `recall_k` and `precision_k`
METRICS = (f"ndcg_{CUT}", *(f"recall_{k}" for k in KS), "map", *(f"precision_{k}" for k in KS))
# Columns of arrays (queries, metrics).
NDCG, RECALLS, MAP, PRECISIONS = 0, slice(1, 1 + len(KS)), 1 + len(KS), slice(2 + len(KS), 2 + 2 * len(KS))
DIRECTIONS = {  # name -> modality of the query, modality of the ranked clips
    "audio_to_video": ("audio", "video"),
    "video_to_audio": ("video", "audio"),
    "audio_to_audio": ("audio", "audio"),
    "video_to_video": ("video", "video"),
}
# A matcher's score: embeddings of sounds (p, d) and of pictures (q, d) -> (p, q), higher is more similar.
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]

_BLOCK_PAIRS = 2_000_000  # of a query and a clip at a time: about 100 MB with all intermediate arrays


def evaluate(
    embeddings: dict[str, np.ndarray] | Sequence[dict[str, np.ndarray]],
    labels: Sequence[Sequence[str]] | None = None,
    groups: Sequence | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    score: Score | None = None,
    directions: Sequence[str] = tuple(DIRECTIONS),
) -> dict[str, dict]:
    """Return all metrics in some directions; the top of this module defines them.

    embeddings: "audio" and "video", each (n, d) float, row i of both from clip i; or a list of these, of one
    model trained with several seeds: a query's metric is then its mean over them. labels: a list per clip,
    which may be empty. groups: one per clip; clips of one group are not independent (cuts of one video, clips
    of one person). bootstrap: number of resamples. score: the matcher's score, in place of the distance
    across modalities. directions: keys of DIRECTIONS.

    Returns {direction: {"ndcg_30", "recall_1", "recall_5", "recall_10", "map", "precision_1", "precision_5",
    "precision_10", "n", "n_relevant", "ci": {metric: [low, high] or None}, "chance": {metric: value or
    None}}}. Raises ValueError on no clips, on different lengths and on embeddings or scores that are not
    finite. Works in blocks of queries: 10,000 clips need well under 1 GiB.
    """
    queries = measure_queries(embeddings, labels, groups, seed, score, directions)
    return summarize(queries, groups, bootstrap, seed)


def summarize(queries: "Queries", groups: Sequence | None, bootstrap: int, seed: int) -> dict[str, dict]:
    """Return what `evaluate` returns: the means over queries with their intervals over `groups`, (n,)."""
    n = len(queries.order)
    group_numbers, n_groups = encode_groups(np.arange(n) if groups is None else groups)
    group_numbers = group_numbers[queries.order]
    return {
        direction: {
            **_means_by_name(values),
            "n": n,
            "n_relevant": int((queries.n_relevant > 0).sum()),
            "ci": _intervals(values, group_numbers, n_groups, bootstrap, seed),
            "chance": _means_by_name(queries.chance[direction]),
        }
        for direction, values in queries.metrics.items()
    }


@dataclass(frozen=True)
class Queries:
    """The metrics of each query; n clips are queries in the order in which ties are broken.

    order: (n,) the row of each query among the clips. n_relevant: (n,) relevant clips of each query. By
    direction: metrics, chance: (n, metrics), NaN for undefined ones; rank: (n,) from 1 on, of the query's
    counterpart, or within a modality of the first relevant clip; 0 without one. For several seeds, metrics
    are means, and the rank is that of the last seed.
    """

    order: np.ndarray
    n_relevant: np.ndarray
    metrics: dict[str, np.ndarray]
    chance: dict[str, np.ndarray]
    rank: dict[str, np.ndarray]


def measure_queries(
    embeddings: dict[str, np.ndarray] | Sequence[dict[str, np.ndarray]],
    labels: Sequence[Sequence[str]] | None = None,
    groups: Sequence | None = None,
    seed: int = 0,
    score: Score | None = None,
    directions: Sequence[str] = tuple(DIRECTIONS),
) -> Queries:
    """Measure each query in some directions. The arguments are those of `evaluate`, which averages them."""
    seed_embeddings = [embeddings] if isinstance(embeddings, dict) else list(embeddings)
    n = [_count_clips(vectors, labels, groups) for vectors in seed_embeddings][0]
    order = np.random.default_rng(seed).permutation(n)  # ties are broken by this order
    label_matrix = _label_matrix(labels, n)[order]

    # (n, metrics) of each query
    metrics = {direction: np.zeros((n, len(METRICS))) for direction in directions}
    chance = {direction: np.full((n, len(METRICS)), np.nan) for direction in directions}
    rank = {direction: np.zeros(n, np.int64) for direction in directions}
    n_relevant = np.zeros(n, np.int64)  # relevant clips of each query
    block_rows = max(1, _BLOCK_PAIRS // n)
    seed_vectors = [
        {side: np.asarray(arrays[side], np.float32)[order] for side in ("audio", "video")}
        for arrays in seed_embeddings
    ]
    seed_unit_vectors = [{side: _scale_to_unit(x) for side, x in vectors.items()} for vectors in seed_vectors]
    for start in range(0, n, block_rows):
        rows = np.arange(start, min(n, start + block_rows))  # the queries of this block
        gains = (label_matrix[rows] @ label_matrix.T).toarray()  # (b, n) number of shared labels
        gains[np.arange(len(rows)), rows] = 0  # the query's own clip is not among its results
        ideal_dcg = _ideal_dcg(gains)
        n_relevant[rows] = np.count_nonzero(gains, axis=1)
        mean_gain = gains.sum(1, dtype=float) / max(1, n - 1)
        for direction in directions:
            source, target = DIRECTIONS[direction]
            is_cross_modal = source != target
            chance[direction][rows] = _chance(n_relevant[rows], mean_gain, ideal_dcg, n, is_cross_modal)
            for vectors, unit_vectors in zip(seed_vectors, seed_unit_vectors, strict=True):
                if score is None or not is_cross_modal:
                    similarity = _similarity(unit_vectors[source][rows], unit_vectors[target])
                else:
                    similarity = _score_queries(score, vectors, source, rows)
                block_metrics, rank[direction][rows] = _query_metrics(
                    similarity, gains, ideal_dcg, rows, is_cross_modal
                )
                metrics[direction][rows] += block_metrics / len(seed_vectors)
    return Queries(order, n_relevant, metrics, chance, rank)


def directions_of(modality: str) -> list[str]:
    """Return the directions in which a model of `modality` (audio, video, both) can retrieve."""
    return [name for name, ends in DIRECTIONS.items() if modality == "both" or set(ends) == {modality}]


def find_nearest(
    embeddings: dict[str, np.ndarray],
    direction: str,
    query_rows: Sequence[int],
    k: int = 5,
    score: Score | None = None,
    include_query: bool | None = None,
) -> list[list[tuple[int, float]]]:
    """Return for each query the `k` most similar clips as (row, similarity), the most similar first.

    embeddings: "audio" and "video", each (n, d), row i of both from clip i. direction: a key of DIRECTIONS.
    query_rows: of the clips whose sound or picture is the query. score: the matcher's score; similarity
    across modalities is this score, or without a matcher the cosine of the two embeddings. include_query:
    whether the query's own clip may be among the results; None: only across modalities. Ties are in row
    order.
    """
    source, target = DIRECTIONS[direction]
    n, queries = _count_clips(embeddings, None, None), np.asarray(query_rows, np.int64)
    if score is None or source == target:
        similarity = _scale_to_unit(embeddings[source])[queries] @ _scale_to_unit(embeddings[target]).T
    else:
        vectors = {side: np.asarray(embeddings[side], np.float32) for side in embeddings}
        similarity = _score_queries(score, vectors, source, queries)
    include_query = source != target if include_query is None else include_query
    order = np.argsort(-similarity, axis=1, kind="stable")
    results = []
    for query, ranked_rows, values in zip(queries.tolist(), order, similarity, strict=True):
        # One more than k, since the query's own clip may be left out.
        candidates = [int(row) for row in ranked_rows[: min(n, k + 1)]]
        neighbours = [row for row in candidates if include_query or row != query][:k]
        results.append([(row, float(values[row])) for row in neighbours])
    return results


def _count_clips(embeddings: dict, labels: Sequence | None, groups: Sequence | None) -> int:
    """Return the number of clips. Raises ValueError if the arguments of `evaluate` do not fit together."""
    audio, video = (np.asarray(embeddings[name]) for name in ("audio", "video"))
    n = len(audio)
    if audio.ndim != 2 or video.ndim != 2 or len(video) != n:
        raise ValueError(f"audio {audio.shape} and video {video.shape} must be (n, d) with the same n")
    if n == 0:
        raise ValueError("there are no clips to rank")
    for name, values in (("labels", labels), ("groups", groups)):
        if values is not None and len(values) != n:
            raise ValueError(f"{len(values)} {name} for {n} clips")
    for name, array in (("audio", audio), ("video", video)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} embeddings hold values that are not finite numbers")
    return n


def _scale_to_unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows (n, d) to length one, as float32; rows of zeros stay."""
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _label_matrix(labels: Sequence[Sequence[str]] | None, n: int) -> sp.csr_matrix:
    """Return a sparse matrix (n, labels) float32, 1 where a clip has a label."""
    label_numbers: dict[str, int] = {}
    pairs: set[tuple[int, int]] = set()  # (clip, label); a set, since a clip may list a label twice
    for clip, clip_labels in enumerate(labels or []):
        for label in clip_labels:
            pairs.add((clip, label_numbers.setdefault(label, len(label_numbers))))
    rows, columns = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    ones = np.ones(len(rows), np.float32)
    shape = (n, max(1, len(label_numbers)))
    return sp.csr_matrix((ones, (rows, columns)), shape=shape, dtype=np.float32)


def _similarity(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return (b, n) that decrease with Euclidean distance: dot product minus half the candidate's squared
    norm.

    queries: (b, d). candidates: (n, d). Rows have length one or zero.
    """
    return queries @ candidates.T - np.float32(0.5) * candidates.any(1)


def _score_queries(
    score: Score, vectors: dict[str, np.ndarray], source: str, query_rows: np.ndarray
) -> np.ndarray:
    """Return the matcher's scores (b, n) of some queries with all clips of the other modality.

    vectors: "audio" and "video", (n, d) each. source: modality of the queries. query_rows: (b,) their rows.
    Raises ValueError if the scores have another shape or are not numbers.
    """
    if source == "audio":
        similarity = np.asarray(score(vectors["audio"][query_rows], vectors["video"]), np.float32)
    else:
        similarity = np.asarray(score(vectors["audio"], vectors["video"][query_rows]), np.float32).T
    n = len(vectors["audio"])
    if similarity.shape != (len(query_rows), n):
        raise ValueError(f"score gave {similarity.shape} for {len(query_rows)} queries and {n} clips")
    if np.isnan(similarity).any():
        raise ValueError("score gave values that are not numbers")
    return similarity


def _sort_keys(similarity: np.ndarray) -> np.ndarray:
    """Return (b, n) uint64 that sort by decreasing similarity, ties by column: any sort is then stable.

    The bits of a float32, with the sign bit set for positive numbers and all bits flipped for negative ones,
    sort as its value does. A key is their complement (32 bits), the column number (31 bits) and a bit that
    the caller may use.
    """
    bits = np.ascontiguousarray(similarity + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
    ascending = bits ^ ((bits >> 31) | np.int32(-(2**31)))
    keys = (~ascending).view(np.uint32).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(similarity.shape[1], dtype=np.uint64) << np.uint64(1)
    return keys


def _discounts(count: int) -> np.ndarray:
    """Return the weights of the first `count` ranks in DCG: 1 / log2(rank + 1), rank from 1 on."""
    return 1 / np.log2(np.arange(2, count + 2))


def _ideal_dcg(gains: np.ndarray) -> np.ndarray:
    """Return the DCG of the best order of each query, (b,), for gains (b, n).

    A gain of g counts as g gains of one at the same rank.
    """
    # dcg_of_ones[m]: DCG if the first m results have a gain of one and the others of zero
    dcg_of_ones = np.append(0.0, np.cumsum(_discounts(CUT)))
    ideal_dcg = np.zeros(len(gains))
    for level in range(int(gains.max())):
        n_above = np.count_nonzero(gains > level, axis=1)
        ideal_dcg += dcg_of_ones[np.minimum(n_above, CUT)]
    return ideal_dcg


def _query_metrics(
    similarity: np.ndarray,
    gains: np.ndarray,
    ideal_dcg: np.ndarray,
    rows: np.ndarray,
    is_cross_modal: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the METRICS of each query, (b, metrics), NaN for undefined ones, and ranks, (b,), from 1 on.

    The rank is that of the query's counterpart or, within a modality, of the first relevant clip; 0 without.
    similarity, gains: (b, n) with all clips. ideal_dcg: (b,). rows: (b,) the queries' rows among the clips.
    """
    n_queries, n = similarity.shape
    metrics, ranks = np.full((n_queries, len(METRICS)), np.nan), np.zeros(n_queries, np.int64)
    queries = np.arange(n_queries)
    keys = _sort_keys(similarity)
    keys |= gains > 0  # the last bit: whether the clip is relevant
    if is_cross_modal:
        counterpart_keys = keys[queries, rows]
        counterpart_rank = (keys < counterpart_keys[:, None]).sum(1)  # from 0 on
        metrics[:, RECALLS] = counterpart_rank[:, None] < np.array(KS)
        ranks = counterpart_rank + 1
    has_relevant = ideal_dcg > 0
    if not has_relevant.any():
        return metrics, ranks
    keys[queries, rows] = np.iinfo(np.uint64).max - 1  # the query's clip is last, and not relevant
    keys.sort(axis=1)
    top_keys = keys[:, : min(CUT, n - 1)]
    top_columns = ((top_keys & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).view(np.int64)
    top_gains = np.take_along_axis(gains, top_columns, axis=1).astype(float)
    dcg = top_gains @ _discounts(top_columns.shape[1])
    metrics[has_relevant, NDCG] = dcg[has_relevant] / ideal_dcg[has_relevant]
    is_relevant = (top_keys & np.uint64(1)).astype(float)
    precisions = np.stack([is_relevant[:, :k].sum(1) / k for k in KS], axis=1)
    metrics[has_relevant, PRECISIONS] = precisions[has_relevant]

    # One element for each relevant clip of each query, by query, then by rank (from 0 on).
    query, rank = np.divmod(np.flatnonzero(keys & np.uint64(1)), n)
    n_relevant = np.bincount(query, minlength=n_queries)
    first = np.cumsum(n_relevant) - n_relevant  # the first element of each query
    n_up_to_rank = np.arange(len(query)) - np.repeat(first, n_relevant) + 1  # relevant clips up to this one
    precision_sum = np.bincount(query, weights=n_up_to_rank / (rank + 1), minlength=n_queries)
    metrics[has_relevant, MAP] = precision_sum[has_relevant] / n_relevant[has_relevant]
    if not is_cross_modal:
        first_rank = np.full(n_queries, n)
        np.minimum.at(first_rank, query, rank)
        metrics[has_relevant, RECALLS] = first_rank[has_relevant, None] < np.array(KS)
        ranks[has_relevant] = first_rank[has_relevant] + 1
    return metrics, ranks


def _chance(
    n_relevant: np.ndarray, mean_gain: np.ndarray, ideal_dcg: np.ndarray, n: int, is_cross_modal: bool
) -> np.ndarray:
    """Return the mean of each metric over all orders of the same candidates, (b, metrics); NaN if undefined.

    n_relevant: (b,) relevant candidates of each query. mean_gain: (b,) of all its candidates. ideal_dcg:
    (b,). n: number of clips.
    """
    chance = np.full((len(n_relevant), len(METRICS)), np.nan)
    candidates = n - 1  # without the query's clip
    has_relevant = n_relevant > 0
    if is_cross_modal:
        chance[:, RECALLS] = np.minimum(KS, n) / n
    elif candidates:
        recalls = np.full((len(n_relevant), len(KS)), np.nan)
        for column, k in enumerate(KS):
            # P(none of k candidates is relevant) = (N - R)/N x (N - R - 1)/(N - 1) x ...
            steps = np.arange(min(k, candidates))
            miss = np.clip(candidates - n_relevant[:, None] - steps, 0, None) / (candidates - steps)
            recalls[has_relevant, column] = 1 - miss.prod(1)[has_relevant]
        chance[:, RECALLS] = recalls
    if has_relevant.any():
        density = n_relevant[has_relevant, None] / candidates  # of relevant clips
        chance[has_relevant, PRECISIONS] = density * np.minimum(KS, candidates) / np.array(KS)
        mean_dcg = mean_gain * _discounts(min(CUT, candidates)).sum()
        chance[has_relevant, NDCG] = mean_dcg[has_relevant] / ideal_dcg[has_relevant]
        # For a relevant clip at rank i, the mean number of relevant clips up to rank i is
        # 1 + (i - 1)(R - 1)/(N - 1).
        harmonic = (1 / np.arange(1, candidates + 1)).sum()
        density = (n_relevant[has_relevant] - 1) / max(1, candidates - 1)
        chance[has_relevant, MAP] = (harmonic + density * (candidates - harmonic)) / candidates
    return chance


def metric_function(values: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function of weights (b, n) of the queries that returns metric -> its weighted means, (b,).

    values: (n, metrics), NaN where undefined: such queries do not count.
    """
    is_defined = np.isfinite(values)
    finite = np.where(is_defined, values, 0)

    def compute_metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights @ is_defined
        means = (weights @ finite) / np.where(total > 0, total, np.nan)
        return dict(zip(METRICS, means.T, strict=True))

    return compute_metrics


def _means_by_name(values: np.ndarray) -> dict[str, float | None]:
    """Return metric -> its mean over the queries for which it is defined; None without any.

    values: (queries, metrics), NaN where undefined.
    """
    is_defined = np.isfinite(values)
    count = is_defined.sum(0)
    means = np.where(is_defined, values, 0).sum(0) / np.where(count > 0, count, np.nan)
    return {name: round_finite(mean) for name, mean in zip(METRICS, means, strict=True)}


def _intervals(
    values: np.ndarray, group_numbers: np.ndarray, n_groups: int, bootstrap: int, seed: int
) -> dict[str, list[float] | None]:
    """Return metric -> 95% interval of its mean over the queries for which it is defined.

    values: (n, metrics), NaN where undefined. group_numbers: (n,) the group of each query, 0 to n_groups - 1.
    """
    sums, sizes = np.zeros((2, len(METRICS), n_groups))  # of the defined values of each group
    for column, metric_values in enumerate(values.T):
        is_defined = np.isfinite(metric_values)
        sums[column] = np.bincount(group_numbers, np.where(is_defined, metric_values, 0), n_groups)
        sizes[column] = np.bincount(group_numbers, is_defined, n_groups)
    blocks = [np.empty((0, len(METRICS)))]
    for weights in resample_groups(n_groups, bootstrap, seed):
        total = weights @ sizes.T
        blocks.append((weights @ sums.T) / np.where(total > 0, total, np.nan))
    resampled_means = np.concatenate(blocks)
    return {name: percentile_interval([resampled_means[:, i]]) for i, name in enumerate(METRICS)}
