"""Retrieval of the own clip: the authors' arrays, numbers by hand, ties, and hostile lists."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Options, Subset, Windows
from pipeline.metrics.protocols._retrieval import SIMILARITIES, combine, rank_metrics

RECALLS = ("recall_1", "recall_5", "recall_10", "median_rank")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_published_code(load_reference):
    """24 clips of 6 windows: the four similarities, and their metrics in both directions."""
    arrays = load_reference("cav_mae_sync")
    windows = Windows({"audio": unit(arrays["toy/audio"]), "video": unit(arrays["toy/image"])})
    protocol = protocols.get("vggsound_retrieval")
    ids = list(map(str, range(24)))
    for name in SIMILARITIES:
        assert combine(windows, name) == pytest.approx(arrays[f"toy/{name}"], abs=1e-6)
        result = protocol.evaluate(windows, Subset(ids, [None] * 24, ids), Options(100, 0, 6, name))
        assert result["n"] == 24 and result["windows"] == 6
        for direction, author in (("audio_to_video", "audio"), ("video_to_audio", "video")):
            expected = arrays[f"toy/{name}_{author}"]
            assert [result[direction][m] for m in RECALLS] == pytest.approx(expected, abs=1e-6)


def test_published_features(load_reference):
    """The four clips that the authors' whole loop ran on."""
    arrays = load_reference("cav_mae_sync")
    audio, video = (unit(arrays[f"published/feat_{side}_global"]) for side in ("audio", "image"))
    windows = Windows({"audio": audio.reshape(4, 6, -1), "video": video.reshape(4, 6, -1)})
    for name in SIMILARITIES:
        assert combine(windows, name) == pytest.approx(arrays[f"similarity/{name}"], abs=1e-6)
    similarity = combine(windows, "diagonal_mean")
    for matrix, author in ((similarity, "audio"), (similarity.T, "video")):
        metrics = rank_metrics(matrix, range(4), 10, 0)
        expected = arrays[f"loop/diagonal_mean_{author}"]
        assert [metrics[m] for m in RECALLS] == pytest.approx(expected, abs=1e-6)


def test_ties_count_against_the_query(load_reference):
    """The authors' code makes a recall of 0.6 of three queries with a tie."""
    arrays = load_reference("cav_mae_sync")
    assert arrays["ties/metrics"][0] == pytest.approx(0.6)
    assert rank_metrics(arrays["ties/similarity"], range(3), 10, 0)["recall_1"] == pytest.approx(1 / 3)


def test_by_hand():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.6], [0.0, 0.7, 0.3]])
    metrics = rank_metrics(similarity, ["a", "b", "c"], 200, 0)  # ranks 1, 3, 2
    assert metrics["recall_1"] == pytest.approx(1 / 3) and metrics["recall_5"] == 1
    assert metrics["median_rank"] == 2 and metrics["n"] == 3
    assert metrics["chance"] == {"recall_1": 0.333333, "recall_5": 1, "recall_10": 1, "median_rank": 2}
    assert metrics["ci"]["median_rank"] == [1, 3]
    collapsed = rank_metrics(np.ones((50, 50)), range(50), 20, 0)
    assert collapsed["recall_10"] == 0 and collapsed["median_rank"] == 50


def test_a_matcher_takes_the_place_of_the_cosine():
    rng = np.random.default_rng(0)
    windows = {side: rng.normal(size=(5, 2, 3)) for side in ("audio", "video")}
    halves = Windows(windows, lambda a, v: a @ v.T / 2)
    for name in SIMILARITIES:
        assert combine(halves, name) == pytest.approx(combine(Windows(windows), name) / 2)
    with pytest.raises(ValueError, match="not finite"):
        combine(Windows(windows, lambda a, v: np.full((5, 5), np.nan)), "mean")


def test_published_list(shared_lists):
    protocol = protocols.get("vggsound_retrieval")
    listing = protocol.read(protocol.find_list(str(shared_lists)))
    assert len(listing.truth) == 1545
    name = next(name for name in listing.truth if name.startswith("-"))
    row = {"clip_id": f"_{name}", "audio": None, "video": f"/x/a.tar::b/{name}.mp4"}
    assert list(protocol.ids(row)) == [f"_{name}", name, name]
    row = {"clip_id": "_a_30", "audio": None, "video": None, "video_id": "a"}
    assert "a" in protocols.get("audioset_retrieval").ids(row)


@pytest.mark.parametrize("content", ["[]", "{}", '{"data": [{"video_id": 3}]}', '{"data": []}', "\x00", "{"])
def test_other_files_are_refused_in_one_line(content, tmp_path):
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(UserError) as error:
        protocols.get("vggsound_retrieval").read(str(tmp_path / "list.json"))
    assert "list.json" in str(error.value) and "\n" not in str(error.value)
