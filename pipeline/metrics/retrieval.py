"""Which picture goes with this sound: how far up a ranking the right clips stand, in four directions.

Definitions, the same for every direction (`audio_to_video` asks with a sound and ranks pictures):

- Every clip asks once. Clips are ranked by Euclidean distance between embeddings of length one, or across
  modalities by a matcher's own score. Tied clips stand in a random order fixed by the seed.
- `ndcg_30`, `map`: a clip is relevant if it shares a label with the query; its gain is the number of labels
  shared. The query's own clip is left out, across modalities too, so that both say how well *other* clips of
  its kind are found. nDCG has a linear gain and a log2 discount (Jarvelin and Kekalainen 2002; as
  sklearn.metrics.ndcg_score), cut at 30, against the ideal order of the same candidates. map is the mean of
  average precision over the whole ranking. Queries with no relevant clip are left out of both.
- `recall_k` across modalities: the share of queries whose own counterpart is among the first k of all clips.
  It needs no labels.
- `recall_k` within a modality: the share of queries with a clip that shares a label among the first k, the
  query itself left out, of those queries that have any such clip.
- `n` is the number of queries, `n_relevant` of those that have a relevant clip, over which label-based
  metrics are taken; a metric that nothing can be said about is None.
- `chance` is the exact expected value of each metric, over the same queries, when the ranking is random.
- `ci` is a 95% percentile bootstrap over queries (over their groups, where groups are given); the clips that
  they search among stay the same.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from pipeline.metrics.bootstrap import codes, interval, number, resamples

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
]  # (p, d) sounds, (q, d) pictures -> (p, q), high is near

_CELLS = 2_000_000  # query-candidate cells held at once, about 100 MB with everything made of them


def evaluate(
    embeddings: dict[str, np.ndarray] | Sequence[dict[str, np.ndarray]],
    labels: Sequence[Sequence[str]] | None = None,
    groups: Sequence | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    score: Score | None = None,
    among: Sequence[str] = tuple(DIRECTIONS),
) -> dict[str, dict]:
    """All metrics in all four directions (or `among`); what they mean stands at the top of this module.

    embeddings: "audio" and "video", each (n, d) float, row i of both from clip i; or several of these, of one
    model trained with several seeds: a query's metric is then its mean over them. labels: a list a clip,
    maybe empty. groups: one a clip, those that are not independent of each other (cuts of one video, clips of
    one person). score: replaces the distance across modalities, for a matcher that is not one.

    Returns {direction: {"ndcg_30", "recall_1", "recall_5", "recall_10", "map", "n", "n_relevant",
    "ci": {metric: [low, high] or None}, "chance": {metric: value or None}}}. Raises ValueError on no
    clips, on lengths that differ and on embeddings or scores that are not finite. Works in blocks of queries:
    10,000 clips need well under 1 GiB.
    """
    models = [embeddings] if isinstance(embeddings, dict) else list(embeddings)
    n = [_checked(model, labels, groups) for model in models][0]
    shuffle = np.random.default_rng(seed).permutation(n)  # a tie goes to whoever comes first after this
    tags = _label_matrix(labels, n)[shuffle]

    found = {name: np.zeros((n, len(METRICS))) for name in among}
    chance = {name: np.full((n, len(METRICS)), np.nan) for name in among}
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
            for name in among:
                source, target = DIRECTIONS[name]
                if score is None or source == target:
                    near = _nearness(vectors[source][rows], vectors[target])
                else:
                    near = _matched(score, raw, source, rows)
                found[name][rows] += _metrics(near, gains, ideal, rows, own=source != target) / len(models)
                chance[name][rows] = _chance(relevant[rows], average, ideal, n, own=source != target)

    code, count = codes(np.arange(n) if groups is None else groups)
    code = code[shuffle]
    return {
        name: {
            **dict(zip(METRICS, map(number, _mean(found[name])), strict=True)),
            "n": n,
            "n_relevant": int((relevant > 0).sum()),
            "ci": _intervals(found[name], code, count, bootstrap, seed),
            "chance": dict(zip(METRICS, map(number, _mean(chance[name])), strict=True)),
        }
        for name in among
    }


def directions(modality: str) -> list[str]:
    """Those in which a model of `modality` (audio, video, both) can be asked."""
    return [name for name, ends in DIRECTIONS.items() if modality == "both" or set(ends) == {modality}]


def nearest(
    embeddings: dict[str, np.ndarray],
    direction: str,
    rows: Sequence[int],
    k: int = 5,
    score: Score | None = None,
    own: bool | None = None,
) -> list[list[tuple[int, float]]]:
    """For each query row the `k` nearest clips, as (row, nearness), nearest first.

    Nearness is the matcher's score, or the cosine of the two embeddings. `own` says whether a query's own
    clip may be found; by default it may across modalities and may not within one. Ties stand in row order.
    """
    source, target = DIRECTIONS[direction]
    n, asked = _checked(embeddings, None, None), np.asarray(rows, np.int64)
    if score is None or source == target:
        near = _unit(embeddings[source])[asked] @ _unit(embeddings[target]).T
    else:
        near = _matched(score, {m: np.asarray(embeddings[m], np.float32) for m in embeddings}, source, asked)
    own = source != target if own is None else own
    order = np.argsort(-near, axis=1, kind="stable")
    results = []
    for query, ranked, values in zip(asked.tolist(), order, near, strict=True):
        kept = [int(i) for i in ranked[: min(n, k + 1)] if own or i != query][:k]
        results.append([(i, float(values[i])) for i in kept])
    return results


def _checked(embeddings: dict, labels: Sequence | None, groups: Sequence | None) -> int:
    audio, video = (np.asarray(embeddings[name]) for name in ("audio", "video"))
    n = len(audio)
    if audio.ndim != 2 or video.ndim != 2 or len(video) != n:
        raise ValueError(f"audio {audio.shape} and video {video.shape} must be (n, d) with the same n")
    if n == 0:
        raise ValueError("there are no clips to search among")
    for name, given in (("labels", labels), ("groups", groups)):
        if given is not None and len(given) != n:
            raise ValueError(f"{len(given)} {name} for {n} clips")
    for name, array in (("audio", audio), ("video", video)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} embeddings hold values that are not finite numbers")
    return n


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; a row of zeros stays."""
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _label_matrix(labels: Sequence[Sequence[str]] | None, n: int) -> sp.csr_matrix:
    """(n, labels) float32, 1 where a clip has a label."""
    names: dict[str, int] = {}
    pairs = {(i, names.setdefault(tag, len(names))) for i, tags in enumerate(labels or []) for tag in tags}
    row, column = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    ones = np.ones(len(row), np.float32)
    return sp.csr_matrix((ones, (row, column)), shape=(n, max(1, len(names))), dtype=np.float32)


def _nearness(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(b, n), in the order of falling Euclidean distance: dot product less half the candidate's square."""
    return queries @ candidates.T - np.float32(0.5) * candidates.any(1)


def _matched(score: Score, raw: dict[str, np.ndarray], source: str, rows: np.ndarray) -> np.ndarray:
    if source == "audio":
        near = np.asarray(score(raw["audio"][rows], raw["video"]), np.float32)
    else:
        near = np.asarray(score(raw["audio"], raw["video"][rows]), np.float32).T
    if near.shape != (len(rows), len(raw["audio"])):
        raise ValueError(f"score gave {near.shape} for {len(rows)} queries and {len(raw['audio'])} clips")
    if np.isnan(near).any():
        raise ValueError("score gave values that are not numbers")
    return near


def _keys(near: np.ndarray) -> np.ndarray:
    """(b, n) uint64 that sort from near to far, ties by column: one plain sort gives a stable ranking.

    The bits of a float32, with the sign bit set for positive numbers and all bits flipped for negative ones,
    sort as its value does; their complement stands above the column number. The last bit is free.
    """
    bits = np.ascontiguousarray(near + np.float32(0)).view(np.int32)  # + 0 makes -0.0 the same as 0.0
    upward = bits ^ ((bits >> 31) | np.int32(-(2**31)))
    keys = (~upward).view(np.uint32).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(near.shape[1], dtype=np.uint64) << np.uint64(1)
    return keys


def _discounts(count: int) -> np.ndarray:
    return 1 / np.log2(np.arange(2, count + 2))


def _ideal(gains: np.ndarray) -> np.ndarray:
    """(b,) DCG of the best order there is: a gain of two counts as two of one at its rank."""
    ones = np.append(0.0, np.cumsum(_discounts(CUT)))  # DCG of a gain of one at each of the first 0, 1, ...
    ideal = np.zeros(len(gains))
    for less in range(int(gains.max())):
        ideal += ones[np.minimum(np.count_nonzero(gains > less, axis=1), CUT)]
    return ideal


def _metrics(
    near: np.ndarray, gains: np.ndarray, ideal: np.ndarray, rows: np.ndarray, own: bool
) -> np.ndarray:
    """(b, metrics) of each query, NaN where a metric is not defined for it."""
    count = len(rows)
    out = np.full((count, len(METRICS)), np.nan)
    lines = np.arange(count)
    keys = _keys(near)
    keys |= gains > 0  # so that sorting takes along what is relevant
    mine = keys[lines, rows]
    if own:
        above = (keys < mine[:, None]).sum(1)  # how many clips stand before the query's own counterpart
        out[:, 1:-1] = above[:, None] < np.array(KS)
    some = ideal > 0
    if not some.any():
        return out
    keys[lines, rows] = np.iinfo(np.uint64).max - 1  # the own clip goes last, and is not relevant
    keys.sort(axis=1)
    top = ((keys[:, : min(CUT, near.shape[1] - 1)] & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).view(np.int64)
    dcg = np.take_along_axis(gains, top, axis=1).astype(float) @ _discounts(top.shape[1])
    relevant = np.flatnonzero(keys & np.uint64(1))  # nearest first, query by query
    line, rank = np.divmod(relevant, near.shape[1])
    total = np.bincount(line, minlength=count)
    nth = np.arange(len(line)) - np.repeat(np.cumsum(total) - total, total) + 1
    precision = np.bincount(line, weights=nth / (rank + 1), minlength=count)
    out[some, 0] = dcg[some] / ideal[some]
    out[some, -1] = precision[some] / total[some]
    if not own:
        first = np.full(count, gains.shape[1])
        np.minimum.at(first, line, rank)
        out[some, 1:-1] = first[some, None] < np.array(KS)
    return out


def _chance(relevant: np.ndarray, average: np.ndarray, ideal: np.ndarray, n: int, own: bool) -> np.ndarray:
    """(b, metrics): what each metric of `_metrics` is on average over all orders of the same candidates.

    relevant, average: of each query's candidates, how many are relevant, and their mean gain.
    """
    out = np.full((len(relevant), len(METRICS)), np.nan)
    others = n - 1
    some = relevant > 0
    if own:
        out[:, 1:-1] = np.minimum(KS, n) / n
    elif others:
        for column, k in enumerate(KS, 1):
            # none of k draws is relevant: (N - R)/N x (N - R - 1)/(N - 1) x ...
            steps = np.arange(min(k, others))
            miss = np.clip(others - relevant[:, None] - steps, 0, None) / (others - steps)
            out[some, column] = 1 - miss.prod(1)[some]
    if some.any():
        out[some, 0] = (average * _discounts(min(CUT, others)).sum())[some] / ideal[some]
        # a relevant clip at rank i sees, on average, 1 + (i - 1)(R - 1)/(N - 1) relevant ones down to itself
        harmonic = (1 / np.arange(1, others + 1)).sum()
        share = (relevant[some] - 1) / max(1, others - 1)
        out[some, -1] = (harmonic + share * (others - harmonic)) / others
    return out


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean of each column over the queries for which it is defined; NaN where it is for none."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(known, values, 0).sum(0) / np.where(count > 0, count, np.nan)


def _intervals(values: np.ndarray, code: np.ndarray, count: int, bootstrap: int, seed: int) -> dict:
    known = np.isfinite(values)
    sums = np.stack(
        [np.bincount(code, np.where(k, v, 0), count) for v, k in zip(values.T, known.T, strict=True)]
    )
    sizes = np.stack([np.bincount(code, k, count) for k in known.T])  # (metrics, groups)
    means = [np.empty((0, len(METRICS)))]
    for drawn in resamples(count, bootstrap, seed):
        total = drawn @ sizes.T
        means.append((drawn @ sums.T) / np.where(total > 0, total, np.nan))
    every = np.concatenate(means)
    return {name: interval([every[:, i]]) for i, name in enumerate(METRICS)}
