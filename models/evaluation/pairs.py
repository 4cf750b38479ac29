"""What a model of pairs is worth: whether sound and picture belong together, and what is found by which."""

import numpy as np

from models.checkpoint import Model
from models.evaluation.result import Evaluation, Settings
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import correspondence, localization, retrieval

SHOWN = 6  # queries in each direction of the galleries
NEAREST = 5
MAPS = 8  # clips on which it is shown where the sound is


def evaluate(model: Model, data: Dataset, settings: Settings) -> Evaluation:
    """Measure correspondence on balanced pairs of the test split, and retrieval in four directions, on middle
    windows; localization where the model can say where the sound is and boxes are known."""
    test, seed, bootstrap = data.of("test"), settings.seed, settings.bootstrap
    labels = data.kinds(settings.label)
    audio, video = model.embed(data, test)
    score, match, ends = score_pairs(model, data, audio, video, settings.pairing, settings.label, seed)
    group = data.group[test]
    embeddings = {"audio": audio, "video": video}
    matcher = None if model.module.by_distance else model.scores
    directions = retrieval.directions(model.config["modality"])
    metrics = {
        "correspondence": correspondence.correspondence(score, match, 0.0, ends, bootstrap, seed),
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
    return Evaluation(metrics, correspondence.roc(score, match), galleries, maps)


def score_pairs(
    model: Model, data: Dataset, audio: np.ndarray, video: np.ndarray, pairs: str, label: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Balanced pairs of the test split, whose embeddings are given: (n,) score, (n,) whether they match, and
    (n, 2) the groups of both. The same pairs for every model."""
    test = data.of("test")
    related = pairing.relation(pairs, data.group, data.kinds(label), model.config["modality"] != "both")
    sound, picture, match = pairing.balanced(test, related, seed)
    group = data.group[test]
    return model.score(audio[sound], video[picture]), match, np.stack([group[sound], group[picture]], axis=1)


def _localize(model, data: Dataset, test, audio, video, boxes: dict, bootstrap: int, seed: int) -> tuple:
    """Localization of the clips whose box is known, and the maps of a few, two in view first."""
    rows = [i for i, clip in enumerate(test) if data.clip_id[clip] in boxes]
    if not rows:
        return None, []
    maps = model.maps(audio[rows], video[rows]).reshape(-1, *model.module.video.map)
    ids = [data.clip_id[test[i]] for i in rows]
    found = [boxes[i] for i in ids]
    shown = sorted(range(len(rows)), key=lambda i: found[i][1] is None)[:MAPS]
    return localization.evaluate(maps, found, bootstrap, seed), [
        {"clip_id": ids[i], "map": maps[i].round(3).tolist(), "box": found[i][0], "silent_box": found[i][1]}
        for i in shown
    ]


def _galleries(
    data: Dataset, test: np.ndarray, labels: list, embeddings: dict, matcher, seed: int, directions
) -> dict:
    """A few queries of as many kinds as there are, the same ones in every direction."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(test))
    seen: set = set()
    fresh: list[int] = []
    rest: list[int] = []
    for i in order:
        kind = tuple(labels[test[i]])
        (rest if kind in seen else fresh).append(int(i))
        seen.add(kind)
    rows = (fresh + rest)[:SHOWN]
    ids = [data.clip_id[i] for i in test]
    named = [set(labels[i]) for i in test]

    def found(query: int, row: int, score: float, across: bool) -> dict:
        # Across modalities the query's own clip is the answer; else, and beside it, a label in common is.
        relevant = bool(named[query] & named[row]) if named[query] else (row == query if across else None)
        return {"clip_id": ids[row], "score": round(score, 4), "relevant": relevant}

    galleries = {}
    for direction in directions:
        source, target = retrieval.DIRECTIONS[direction]
        near = retrieval.nearest(embeddings, direction, rows, NEAREST, matcher)
        galleries[direction] = [
            {"query": ids[q], "results": [found(q, r, s, source != target) for r, s in results]}
            for q, results in zip(rows, near, strict=True)
        ]
    return galleries
