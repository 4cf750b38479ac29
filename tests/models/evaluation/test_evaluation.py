"""Evaluation: on the test split alone, with the model's matcher, the same numbers for the same seed."""

import numpy as np
import pytest

from models import checkpoint
from models.evaluation import evaluation, pairs
from models.evaluation.result import Settings
from models.matchers import matchers
from pipeline.dataset import pairing
from testing import toy


def train_with(matcher, data, folder):
    toy.train(data, folder, toy.experiment(matcher=matcher), epochs=16, learning_rate=1e-2)
    return checkpoint.load(folder / "out")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    return train_with("distance", data, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("matcher", matchers.names())
def test_numbers_of_the_test_split(matcher, data, tmp_path):
    model = train_with(matcher, data, tmp_path)
    result = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0))
    again = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0))
    assert result == again
    test = data.indices("test")
    correspondence = result.metrics["correspondence"]
    assert correspondence["n"] == 2 * len(test)
    audio, video = model.embed(data, test)
    sound, picture, match = pairing.balanced_pairs(
        test, pairing.build_relation("clip", data.group, data.labels), 0
    )
    predictions = model.score(audio[sound], video[picture]) > 0
    assert correspondence["accuracy"] == pytest.approx((predictions == match).mean(), abs=1e-6)
    assert correspondence["accuracy"] > 0.6  # it has learned, and scores are not reversed
    for direction in result.metrics["retrieval"].values():
        assert direction["n"] == len(test) and direction["map"] > direction["chance"]["map"]


def test_clips_outside_the_test_split_change_nothing(model, data):
    result = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0))
    columns, group = data.columns, data.group
    try:
        labels = zip(data.labels, data.split, strict=True)
        data.columns = columns | {"labels": [names if s == "test" else ["?"] for names, s in labels]}
        data.group = np.where(data.split == "test", group, "?")
        assert (
            evaluation.evaluate(model, data, Settings("clip", "category", 100, 0)).metrics == result.metrics
        )
    finally:
        data.columns, data.group = columns, group


def test_galleries_show_test_clips_nearest_first(model, data):
    galleries = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0)).galleries
    test = {data.clip_id[i] for i in data.indices("test")}
    labels = dict(zip(data.clip_id, data.labels, strict=True))
    for direction, rows in galleries.items():
        assert len(rows) == pairs.QUERIES
        assert len({tuple(labels[row["query"]]) for row in rows}) == pairs.QUERIES  # all different
        for row in rows:
            scores = [r["score"] for r in row["results"]]
            assert scores == sorted(scores, reverse=True)
            ids = [r["clip_id"] for r in row["results"]]
            assert set(ids) <= test and len(set(ids)) == pairs.NEAREST
            if direction in ("audio_to_audio", "video_to_video"):
                assert row["query"] not in ids
            for r in row["results"]:
                assert r["relevant"] == bool({*labels[row["query"]]} & {*labels[r["clip_id"]]})


def test_by_subject(model, data):
    result = evaluation.evaluate(model, data, Settings("clip", "subject", 100, 0))
    directions = result.metrics["retrieval"].values()
    assert {d["n_relevant"] for d in directions} == {len(data.indices("test"))}  # all of one person
    assert {d["map"] for d in directions} == {1.0}
