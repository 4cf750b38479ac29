"""Evaluation of a model of pairs: correspondence of sound and picture, retrieval, localization."""

from typing import Any, NamedTuple

import numpy as np

from models.checkpoint import Model
from models.evaluation import localization
from models.evaluation.predictions import ClipColumns
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import correspondence, retrieval
from pipeline.metrics.predictions import THRESHOLD

# Galleries show the nearest clips of a few queries.
QUERIES = 6  # in each direction, such as audio to video
NEAREST = 5  # results of each query


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Evaluate a model of pairs on the middle windows of the test split.

    Correspondence: does the score tell pairs that match from others? Half of the pairs match. Retrieval: are
    clips that belong together near each other, in each direction, such as audio to video? Localization: where
    in the picture is the sound? Only if the model gives maps and some clips have boxes.
    """
    test, seed, bootstrap = data.indices("test"), settings.seed, settings.bootstrap
    labels = data.class_names(settings.label)  # of each clip of the data set
    audio, video = model.embed(data, test)
    test_pairs = score_pairs(model, data, audio, video, settings.pairing, settings.label, seed)
    score, match = test_pairs.scores, test_pairs.is_match
    group = data.group[test]
    embeddings = {"audio": audio, "video": video}
    matcher = None if model.module.by_distance else model.scores  # None: rank by distance, which is faster
    directions = retrieval.directions_of(model.config["modality"])
    test_labels = [labels[i] for i in test]
    queries = retrieval.measure_queries(embeddings, test_labels, group.tolist(), seed, matcher, directions)
    metrics: dict[str, Any] = {
        "correspondence": correspondence.evaluate(
            score, match, THRESHOLD, test_pairs.groups, bootstrap, seed
        ),
        "retrieval": retrieval.summarize(queries, group.tolist(), bootstrap, seed),
    }
    maps: list[dict] = []
    if settings.boxes and model.module.has_map:
        metrics["localization"], maps = localization.evaluate(model, data, audio, video, settings)
    galleries = _galleries(data, test, labels, embeddings, matcher, seed, directions)
    columns = ClipColumns.read(data, settings.label)
    predictions = [
        columns.pairs(test[test_pairs.audio], test[test_pairs.video], score, match),
        columns.queries(test, queries),
    ]
    return Evaluation(
        metrics, correspondence.roc_curve(score, match), galleries, maps, predictions=predictions
    )


class TestPairs(NamedTuple):
    """Pairs of clips of the test split, and a model's scores of them.

    scores: (n,). is_match: (n,) bool. groups: (n, 2) of both clips. audio, video: (n,) the clips, as indices
    in the test split.
    """

    scores: np.ndarray
    is_match: np.ndarray
    groups: np.ndarray
    audio: np.ndarray
    video: np.ndarray


def score_pairs(
    model: Model, data: Dataset, audio: np.ndarray, video: np.ndarray, which_match: str, label: str, seed: int
) -> TestPairs:
    """Score pairs of clips of the test split, half of which match; they are the same pairs for every model.

    audio, video: (clips, dim), embeddings of the test split. which_match: `pairing` of params.yaml: `clip`, a
    sound and the picture of the same clip, or `category`, clips with a common label. label: which labels.
    """
    test = data.indices("test")
    is_siamese = model.config["modality"] != "both"  # both sides of a pair are of one modality
    relation = pairing.build_relation(which_match, data.group, data.class_names(label), is_siamese)
    audio_indices, video_indices, is_match = pairing.balanced_pairs(test, relation, seed)
    scores = model.score(audio[audio_indices], video[video_indices])
    group = data.group[test]
    groups = np.stack([group[audio_indices], group[video_indices]], axis=1)
    return TestPairs(scores, is_match, groups, audio_indices, video_indices)


def _galleries(
    data: Dataset,
    test: np.ndarray,
    labels: list[list[str]],
    embeddings: dict[str, np.ndarray],
    matcher: retrieval.Score | None,
    seed: int,
    directions: list[str],
) -> dict[str, list[dict]]:
    """Return the clips nearest to a few queries, with their scores: direction -> a gallery of each query.

    test: (n,) indices in the data set. labels: of each clip of the data set. embeddings: modality -> (n,
    dim). matcher: scores pairs; None: score by cosine. directions: names such as `audio_to_video`. The
    queries are the same in every direction, and have different labels as far as possible.
    """
    query_rows = _choose_queries([tuple(labels[clip]) for clip in test], seed)
    ids = [data.clip_id[clip] for clip in test]
    label_sets = [set(labels[clip]) for clip in test]

    def describe_result(query_row: int, row: int, score: float, is_cross_modal: bool) -> dict:
        if label_sets[query_row]:
            relevant: bool | None = bool(label_sets[query_row] & label_sets[row])
        else:  # without labels only the query's own clip is relevant, in the other modality
            relevant = row == query_row if is_cross_modal else None
        return {"clip_id": ids[row], "score": round(score, 4), "relevant": relevant}

    galleries: dict[str, list[dict]] = {}
    for direction in directions:
        query_modality, result_modality = retrieval.DIRECTIONS[direction]
        is_cross_modal = query_modality != result_modality
        nearest = retrieval.find_nearest(embeddings, direction, query_rows, NEAREST, matcher)
        galleries[direction] = []
        for query_row, neighbours in zip(query_rows, nearest, strict=True):
            results = [describe_result(query_row, row, score, is_cross_modal) for row, score in neighbours]
            galleries[direction].append({"query": ids[query_row], "results": results})
    return galleries


def _choose_queries(labels: list[tuple[str, ...]], seed: int) -> list[int]:
    """Choose a few clips at random, as far as possible with different labels. Returns their indices.

    labels: of each clip to choose from.
    """
    first_rows: list[int] = []  # the first clip of each combination of labels, in a random order
    other_rows: list[int] = []
    earlier_labels: set[tuple[str, ...]] = set()
    for row in np.random.default_rng(seed).permutation(len(labels)):
        if labels[row] in earlier_labels:
            other_rows.append(int(row))
        else:
            first_rows.append(int(row))
            earlier_labels.add(labels[row])
    return (first_rows + other_rows)[:QUERIES]
