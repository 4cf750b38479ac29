"""The embedding map: similar clips are near each other, with both modalities and with few clips."""

import numpy as np

from pipeline.report import tsne


def clips(count):
    return [{"clip_id": f"c{i}", "labels": [f"k{i % 3}"] if i else []} for i in range(count)]


def test_similar_embeddings_are_near_each_other():
    rng = np.random.default_rng(0)
    kind = np.arange(45) % 3
    both = {side: np.eye(3)[kind] + 0.05 * rng.normal(size=(45, 3)) for side in ("audio", "video")}
    points = tsne.project(both, clips(45))
    assert points == tsne.project(both, clips(45))
    assert len(points) == 90 and {p["kind"] for p in points} == {"sound", "picture"}
    assert points[0]["label"] == "" and points[1] == points[1] | {
        "clip_id": "c1",
        "label": "k1",
        "kind": "sound",
    }
    coordinates = np.array([[p["x"], p["y"]] for p in points])
    distance = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    is_same_kind = np.tile(kind, 2)[:, None] == np.tile(kind, 2)
    assert distance[is_same_kind].mean() < 0.6 * distance[~is_same_kind].mean()


def test_one_modality_few_clips_and_other_dimensions():
    rng = np.random.default_rng(0)
    assert tsne.project({"audio": rng.normal(size=(3, 4))}, clips(3)) == []
    assert len(tsne.project({"audio": rng.normal(size=(5, 4))}, clips(5))) == 5
    places = {"audio": rng.normal(size=(9, 4)), "video": rng.normal(size=(9, 28))}
    assert {p["kind"] for p in tsne.project(places, clips(9))} == {"sound"}
