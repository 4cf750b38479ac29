"""The map: clips that are alike lie together, both modalities are on it, and few clips are no trouble."""

import numpy as np

from pipeline.report import tsne


def clips(count):
    return [{"clip_id": f"c{i}", "labels": [f"k{i % 3}"] if i else []} for i in range(count)]


def test_what_is_alike_lies_together():
    rng = np.random.default_rng(0)
    kind = np.arange(45) % 3
    both = {side: np.eye(3)[kind] + 0.05 * rng.normal(size=(45, 3)) for side in ("audio", "video")}
    points = tsne.flat(both, clips(45))
    assert points == tsne.flat(both, clips(45))
    assert len(points) == 90 and {p["kind"] for p in points} == {"sound", "picture"}
    assert points[0]["label"] == "" and points[1] == points[1] | {
        "clip_id": "c1",
        "label": "k1",
        "kind": "sound",
    }
    where = np.array([[p["x"], p["y"]] for p in points])
    far = np.linalg.norm(where[:, None] - where, axis=2)
    alike = np.tile(kind, 2)[:, None] == np.tile(kind, 2)
    assert far[alike].mean() < 0.6 * far[~alike].mean()


def test_one_modality_few_clips_and_other_dimensions():
    rng = np.random.default_rng(0)
    assert tsne.flat({"audio": rng.normal(size=(3, 4))}, clips(3)) == []
    assert len(tsne.flat({"audio": rng.normal(size=(5, 4))}, clips(5))) == 5
    places = {"audio": rng.normal(size=(9, 4)), "video": rng.normal(size=(9, 28))}
    assert {p["kind"] for p in tsne.flat(places, clips(9))} == {"sound"}
