"""Retrieval metrics: the ranks of relevant clips, across and within modalities, in four directions.

Definitions, the same for every direction (in `audio_to_video` a sound is the query, and pictures are ranked):

- Every clip is a query once. Clips are ranked by Euclidean distance between embeddings of length one, or
  across modalities by a matcher's score. Ties are broken in a random order fixed by the seed.
- `ndcg_30`, `map`: a clip is relevant if it shares a label with the query; its gain is the number of labels
  shared. The query's clip is left out, across modalities too, so that both measure how well *other* clips of
  the same label are retrieved. nDCG has a linear gain and a log2 discount (Jarvelin and Kekalainen 2002; as
  sklearn.metrics.ndcg_score), cut at 30, against the ideal order of the same candidates. map is the mean of
  average precision over the whole ranking. Queries with no relevant clip are left out of both.
- `recall_k` across modalities: the share of queries whose counterpart (the same clip) is among the first k.
  This needs no labels.
- `recall_k` within a modality: the share of queries with a relevant clip among the first k, without the
  query itself, over the queries that have a relevant clip.
- `n` is the number of queries, `n_relevant` of those that have a relevant clip, over which label-based
  metrics are averaged; an undefined metric is None.
- `chance` is the exact expected value of each metric, over the same queries, when the ranking is random.
- `ci` is a 95% percentile bootstrap over queries (or over their groups); the ranked clips stay the same.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from pipeline.metrics.bootstrap import encode_groups, percentile_interval, resample_groups, round_finite

CUT = 30
KS = (1, 5, 10)
METRICS = (f"ndcg_{CUT}", *(f"recall_{k}" for k in KS), "map")
DIRECTIONS = {
    "audio_to_video": ("audio", "video"),
    "video_to_audio": ("video", "audio"),
    "audio_to_audio": ("audio", "audio"),
    "video_to_video": ("video", "video"),
}
Score = Callable[
    [np.ndarray, np.ndarray], np.ndarray
]  # (p, d) sounds, (q, d) pictures -> (p, q), higher is more similar

_CELLS = 2_000_000  # query-candidate pairs at a time: about 100 MB with all intermediate arrays


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
    of one person). score: the matcher's score, in place of the distance across modalities.

    Returns {direction: {"ndcg_30", "recall_1", "recall_5", "recall_10", "map", "n", "n_relevant",
    "ci": {metric: [low, high] or None}, "chance": {metric: value or None}}}. Raises ValueError on no
    clips, on different lengths and on embeddings or scores that are not finite. Works in blocks of queries:
    10,000 clips need well under 1 GiB.
    """
    models = [embeddings] if isinstance(embeddings, dict) else list(embeddings)
    n = [_check(model, labels, groups) for model in models][0]
    shuffle = np.random.default_rng(seed).permutation(n)  # ties are broken by this order
    tags = _label_matrix(labels, n)[shuffle]

    metrics = {name: np.zeros((n, len(METRICS))) for name in directions}
    chance = {name: np.full((n, len(METRICS)), np.nan) for name in directions}
    relevant = np.zeros(n, np.int64)
    step = max(1, _CELLS // n)
    for model in models:
        vectors = {name: _unit(model[name])[shuffle] for name in ("audio", "video")}
        raw = {name: np.asarray(model[name], np.float32)[shuffle] for name in ("audio", "video")}
        for start in range(0, n, step):
            rows = np.arange(start, min(n, start + step))
            gains = (tags[rows] @ tags.T).toarray()  # (b, n) labels shared
            gains[np.arange(len(rows)), rows] = 0  # the query's own clip is not among its results
            ideal = _ideal(gains)
            relevant[rows] = np.count_nonzero(gains, axis=1)
            average = gains.sum(1, dtype=float) / max(1, n - 1)
            for name in directions:
                source, target = DIRECTIONS[name]
                across = source != target
                if score is None or not across:
                    similarity = _similarity(vectors[source][rows], vectors[target])
                else:
                    similarity = _score(score, raw, source, rows)
                metrics[name][rows] += _metrics(similarity, gains, ideal, rows, across) / len(models)
                chance[name][rows] = _chance(relevant[rows], average, ideal, n, across)

    code, count = encode_groups(np.arange(n) if groups is None else groups)
    code = code[shuffle]
    return {
        name: {
            **dict(zip(METRICS, map(round_finite, _mean(metrics[name])), strict=True)),
            "n": n,
            "n_relevant": int((relevant > 0).sum()),
            "ci": _intervals(metrics[name], code, count, bootstrap, seed),
            "chance": dict(zip(METRICS, map(round_finite, _mean(chance[name])), strict=True)),
        }
        for name in directions
    }


def directions_of(modality: str) -> list[str]:
    """Return the directions in which a model of `modality` (audio, video, both) can retrieve."""
    return [name for name, ends in DIRECTIONS.items() if modality == "both" or set(ends) == {modality}]


def nearest(
    embeddings: dict[str, np.ndarray],
    direction: str,
    rows: Sequence[int],
    k: int = 5,
    score: Score | None = None,
    include_query: bool | None = None,
) -> list[list[tuple[int, float]]]:
    """Return the `k` most similar clips of each query row, as (row, similarity), most similar first.

    Similarity is the matcher's score, or the cosine of the two embeddings. include_query: whether the query's
    clip may be among them; None: only across modalities. Ties are in row order.
    """
    source, target = DIRECTIONS[direction]
    n, queries = _check(embeddings, None, None), np.asarray(rows, np.int64)
    if score is None or source == target:
        similarity = _unit(embeddings[source])[queries] @ _unit(embeddings[target]).T
    else:
        raw = {m: np.asarray(embeddings[m], np.float32) for m in embeddings}
        similarity = _score(score, raw, source, queries)
    include_query = source != target if include_query is None else include_query
    order = np.argsort(-similarity, axis=1, kind="stable")
    results = []
    for query, ranked, values in zip(queries.tolist(), order, similarity, strict=True):
        neighbours = [int(i) for i in ranked[: min(n, k + 1)] if include_query or i != query][:k]
        results.append([(i, float(values[i])) for i in neighbours])
    return results


def _check(embeddings: dict, labels: Sequence | None, groups: Sequence | None) -> int:
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


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length one; rows of zeros stay."""
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _label_matrix(labels: Sequence[Sequence[str]] | None, n: int) -> sp.csr_matrix:
    """Return (n, labels) float32, 1 where a clip has a label."""
    names: dict[str, int] = {}
    pairs = {(i, names.setdefault(tag, len(names))) for i, tags in enumerate(labels or []) for tag in tags}
    row, column = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    ones = np.ones(len(row), np.float32)
    return sp.csr_matrix((ones, (row, column)), shape=(n, max(1, len(names))), dtype=np.float32)


def _similarity(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return (b, n), decreasing in Euclidean distance: dot product minus half the candidate's squared norm.

    Rows have length one or zero.
    """
    return queries @ candidates.T - np.float32(0.5) * candidates.any(1)


def _score(score: Score, raw: dict[str, np.ndarray], source: str, rows: np.ndarray) -> np.ndarray:
    """Return the scores (b, n) of the queries `rows` of modality `source` with all clips of the other."""
    if source == "audio":
        similarity = np.asarray(score(raw["audio"][rows], raw["video"]), np.float32)
    else:
        similarity = np.asarray(score(raw["audio"], raw["video"][rows]), np.float32).T
    if similarity.shape != (len(rows), len(raw["audio"])):
        raise ValueError(
            f"score gave {similarity.shape} for {len(rows)} queries and {len(raw['audio'])} clips"
        )
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
    upward = bits ^ ((bits >> 31) | np.int32(-(2**31)))
    keys = (~upward).view(np.uint32).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(similarity.shape[1], dtype=np.uint64) << np.uint64(1)
    return keys


def _discounts(count: int) -> np.ndarray:
    return 1 / np.log2(np.arange(2, count + 2))


def _ideal(gains: np.ndarray) -> np.ndarray:
    """Return (b,), the DCG of the best order. A gain of g counts as g gains of one at the same rank."""
    ones = np.append(0.0, np.cumsum(_discounts(CUT)))  # DCG of a gain of one at each of the first 0, 1, ...
    ideal = np.zeros(len(gains))
    for level in range(int(gains.max())):
        ideal += ones[np.minimum(np.count_nonzero(gains > level, axis=1), CUT)]
    return ideal


def _metrics(
    similarity: np.ndarray, gains: np.ndarray, ideal: np.ndarray, rows: np.ndarray, across: bool
) -> np.ndarray:
    """Return (b, metrics) of each query, NaN for undefined metrics.

    similarity, gains: (b, n) with all clips. ideal: (b,). rows: (b,) the queries' rows among the clips.
    across: whether query and clips are of different modalities.
    """
    count = len(rows)
    out = np.full((count, len(METRICS)), np.nan)
    queries = np.arange(count)
    keys = _sort_keys(similarity)
    keys |= gains > 0  # the last bit: whether the clip is relevant
    counterpart = keys[queries, rows]
    if across:
        counterpart_rank = (keys < counterpart[:, None]).sum(1)
        out[:, 1:-1] = counterpart_rank[:, None] < np.array(KS)
    has_relevant = ideal > 0
    if not has_relevant.any():
        return out
    keys[queries, rows] = np.iinfo(np.uint64).max - 1  # the query's clip is last, and not relevant
    keys.sort(axis=1)
    top_keys = keys[:, : min(CUT, similarity.shape[1] - 1)]
    top = ((top_keys & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).view(np.int64)  # column numbers
    dcg = np.take_along_axis(gains, top, axis=1).astype(float) @ _discounts(top.shape[1])
    relevant = np.flatnonzero(keys & np.uint64(1))  # by query, then by rank
    query, rank = np.divmod(relevant, similarity.shape[1])
    total = np.bincount(query, minlength=count)
    nth = (
        np.arange(len(query)) - np.repeat(np.cumsum(total) - total, total) + 1
    )  # of the query's relevant clips
    precision = np.bincount(query, weights=nth / (rank + 1), minlength=count)
    out[has_relevant, 0] = dcg[has_relevant] / ideal[has_relevant]
    out[has_relevant, -1] = precision[has_relevant] / total[has_relevant]
    if not across:
        first_rank = np.full(count, gains.shape[1])
        np.minimum.at(first_rank, query, rank)
        out[has_relevant, 1:-1] = first_rank[has_relevant, None] < np.array(KS)
    return out


def _chance(relevant: np.ndarray, average: np.ndarray, ideal: np.ndarray, n: int, across: bool) -> np.ndarray:
    """Return (b, metrics): the mean of each metric of `_metrics` over all orders of the same candidates.

    relevant, average: (b,) number of relevant candidates, and mean gain of all candidates.
    """
    out = np.full((len(relevant), len(METRICS)), np.nan)
    candidates = n - 1
    has_relevant = relevant > 0
    if across:
        out[:, 1:-1] = np.minimum(KS, n) / n
    elif candidates:
        for column, k in enumerate(KS, 1):
            # P(none of k candidates is relevant) = (N - R)/N x (N - R - 1)/(N - 1) x ...
            steps = np.arange(min(k, candidates))
            miss = np.clip(candidates - relevant[:, None] - steps, 0, None) / (candidates - steps)
            out[has_relevant, column] = 1 - miss.prod(1)[has_relevant]
    if has_relevant.any():
        mean_dcg = average * _discounts(min(CUT, candidates)).sum()
        out[has_relevant, 0] = mean_dcg[has_relevant] / ideal[has_relevant]
        # For a relevant clip at rank i, the mean number of relevant clips up to i is 1 + (i - 1)(R - 1)/(N
        # - 1).
        harmonic = (1 / np.arange(1, candidates + 1)).sum()
        share = (relevant[has_relevant] - 1) / max(1, candidates - 1)
        out[has_relevant, -1] = (harmonic + share * (candidates - harmonic)) / candidates
    return out


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each column over the queries for which it is defined; NaN without any."""
    is_defined = np.isfinite(values)
    count = is_defined.sum(0)
    return np.where(is_defined, values, 0).sum(0) / np.where(count > 0, count, np.nan)


def _intervals(values: np.ndarray, code: np.ndarray, count: int, bootstrap: int, seed: int) -> dict:
    """Return metric -> interval of its mean. values: (n, metrics). code: (n,) groups, of `count`."""
    is_defined = np.isfinite(values)
    sums = np.stack(
        [
            np.bincount(code, np.where(defined, v, 0), count)
            for v, defined in zip(values.T, is_defined.T, strict=True)
        ]
    )
    sizes = np.stack([np.bincount(code, defined, count) for defined in is_defined.T])  # (metrics, groups)
    means = [np.empty((0, len(METRICS)))]
    for weights in resample_groups(count, bootstrap, seed):
        total = weights @ sizes.T
        means.append((weights @ sums.T) / np.where(total > 0, total, np.nan))
    resampled = np.concatenate(means)
    return {name: percentile_interval([resampled[:, i]]) for i, name in enumerate(METRICS)}
