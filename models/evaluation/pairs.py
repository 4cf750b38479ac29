"""Evaluation of a model of pairs: correspondence of sound and picture, retrieval, localization."""

import numpy as np

from models.checkpoint import Model
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import correspondence, localization, retrieval

QUERIES = 6  # in each direction of the galleries
NEAREST = 5  # results of each query
MAPS = 8  # clips whose localization maps are returned


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Measure correspondence on balanced pairs of the test split, and retrieval in four directions, on middle
    windows; and localization, if the model gives maps and there are boxes."""
    test, seed, bootstrap = data.indices("test"), settings.seed, settings.bootstrap
    labels = data.class_names(settings.label)
    audio, video = model.embed(data, test)
    score, match, pair_groups = score_pairs(model, data, audio, video, settings.pairing, settings.label, seed)
    group = data.group[test]
    embeddings = {"audio": audio, "video": video}
    matcher = None if model.module.by_distance else model.scores
    directions = retrieval.directions_of(model.config["modality"])
    metrics = {
        "correspondence": correspondence.evaluate(score, match, 0.0, pair_groups, bootstrap, seed),
        "retrieval": retrieval.evaluate(
            embeddings, [labels[i] for i in test], group.tolist(), bootstrap, seed, matcher, directions
        ),
    }
    maps: list[dict] = []
    if settings.boxes and model.module.has_map:
        metrics["localization"], maps = _localize(
            model, data, test, audio, video, settings.boxes, bootstrap, seed
        )
    galleries = _galleries(data, test, labels, embeddings, matcher, seed, directions)
    return Evaluation(metrics, correspondence.roc_curve(score, match), galleries, maps)


def score_pairs(
    model: Model, data: Dataset, audio: np.ndarray, video: np.ndarray, pairs: str, label: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score balanced pairs of the test split, the same ones for every model.

    audio, video: embeddings of the test split. Returns (n,) scores, (n,) whether each pair matches, and (n,
    2) the groups of both clips.
    """
    test = data.indices("test")
    related = pairing.build_relation(
        pairs, data.group, data.class_names(label), model.config["modality"] != "both"
    )
    sound, picture, match = pairing.balanced_pairs(test, related, seed)
    group = data.group[test]
    return model.score(audio[sound], video[picture]), match, np.stack([group[sound], group[picture]], axis=1)


def _localize(model, data: Dataset, test, audio, video, boxes: dict, bootstrap: int, seed: int) -> tuple:
    """Measure localization on the clips with boxes, and return maps of a few, those with two boxes first."""
    rows = [i for i, clip in enumerate(test) if data.clip_id[clip] in boxes]
    if not rows:
        return None, []
    maps = model.maps(audio[rows], video[rows]).reshape(-1, *model.module.video.map)
    ids = [data.clip_id[test[i]] for i in rows]
    clip_boxes = [boxes[i] for i in ids]
    sample = sorted(range(len(rows)), key=lambda i: clip_boxes[i][1] is None)[:MAPS]
    return localization.evaluate(maps, clip_boxes, bootstrap, seed), [
        {
            "clip_id": ids[i],
            "map": maps[i].round(3).tolist(),
            "box": clip_boxes[i][0],
            "silent_box": clip_boxes[i][1],
        }
        for i in sample
    ]


def _galleries(
    data: Dataset, test: np.ndarray, labels: list, embeddings: dict, matcher, seed: int, directions
) -> dict:
    """Return a few queries with different labels, and their results; the same queries in every direction."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(test))
    label_tuples: set = set()
    firsts: list[int] = []  # the first clip of each label
    rest: list[int] = []
    for i in order:
        label_tuple = tuple(labels[test[i]])
        (rest if label_tuple in label_tuples else firsts).append(int(i))
        label_tuples.add(label_tuple)
    rows = (firsts + rest)[:QUERIES]
    ids = [data.clip_id[i] for i in test]
    label_sets = [set(labels[i]) for i in test]

    def result(query: int, row: int, score: float, cross_modal: bool) -> dict:
        if label_sets[query]:
            relevant: bool | None = bool(label_sets[query] & label_sets[row])
        else:  # without labels only the query's own clip is relevant, in the other modality
            relevant = row == query if cross_modal else None
        return {"clip_id": ids[row], "score": round(score, 4), "relevant": relevant}

    galleries = {}
    for direction in directions:
        source, target = retrieval.DIRECTIONS[direction]
        near = retrieval.find_nearest(embeddings, direction, rows, NEAREST, matcher)
        galleries[direction] = [
            {"query": ids[q], "results": [result(q, r, s, source != target) for r, s in results]}
            for q, results in zip(rows, near, strict=True)
        ]
    return galleries
