"""Comparing predictions: the numbers of `evaluate`, paired differences, only clips that are in common."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.metrics import classification, correspondence, predictions, retrieval, verification
from pipeline.metrics.comparison import Run, compare

N = 60
IDS = [f"c{i}" for i in range(N)]
GROUPS = [f"v{i // 2}" for i in range(N)]
CLASSES = ["a", "b", "c"]


def table(kind: str, ids=IDS, name="", **columns) -> pa.Table:
    clips = {"kind": [kind] * len(ids), "name": [name] * len(ids), "split": ["test"] * len(ids)}
    clips |= {"clip_id": ids, "group": [f"v{int(i[1:]) // 2}" for i in ids], "labels": [[]] * len(ids)}
    meta = (CLASSES, False) if kind == "class" else ()
    return predictions.make_table(clips | columns, *meta)


def pairs(seed: int, noise: float = 1.0, ids=IDS, kind="pair", **more) -> pa.Table:
    """Return pairs, half of which match, of which a model with less noise tells more."""
    match = np.arange(len(ids)) % 2 == 0
    others = [ids[i] if m else ids[i - 3] for i, m in enumerate(match)]
    score = match - 0.5 + np.random.default_rng(seed).normal(0, noise, len(ids))
    groups = [f"v{int(i[1:]) // 2}" for i in others]
    more |= {"other_clip_id": others, "other_group": groups, "score": score, "is_match": match}
    return table(kind, ids, **more)


def rows_of(result) -> dict:
    return {(row["metric"], row["run"]): row for row in result.rows}


def check_equal(row: dict, metrics: dict, metric: str) -> None:
    assert row["value"] == metrics[metric] and [row["low"], row["high"]] == metrics["ci"][metric]
    assert row["n"] == metrics["n"]


def test_values_and_intervals_are_those_of_the_evaluation():
    pair, trial = pairs(0), pairs(1, kind="trial", name="audio")
    ends = np.stack([pair["group"].to_pylist(), pair["other_group"].to_pylist()], axis=1)
    p = np.random.default_rng(0).dirichlet(np.ones(3), N)
    targets = np.eye(3, dtype=bool)[np.arange(N) % 3]
    answers = table("class", **predictions.class_columns(p, targets, CLASSES, False))
    queries = np.random.default_rng(0).random((N, len(retrieval.METRICS)))
    query = table("query", name="audio_to_video", **dict(zip(retrieval.METRICS, queries.T, strict=True)))
    result = rows_of(compare([Run("A", [predictions.concatenate([pair, query, answers, trial])])], 200, 3))
    arrays = pair["score"].to_numpy(), pair["is_match"].to_numpy(zero_copy_only=False)
    metrics = correspondence.evaluate(*arrays, 0.0, ends, 200, 3)
    for metric in ("accuracy", "auc"):
        check_equal(result[f"correspondence.{metric}", "A"], metrics, metric)
    metrics = verification.evaluate(trial["score"].to_numpy(), arrays[1], ends, 200, 3)
    check_equal(result["verification.audio.eer", "A"], metrics, "eer")
    metrics = classification.evaluate(p, targets, False, GROUPS, 200, 3)
    for metric in metrics["ci"]:
        check_equal(result[f"classification.{metric}", "A"], metrics, metric)
    means = queries.mean(0).round(6)
    for metric, mean in zip(retrieval.METRICS, means, strict=True):
        assert result[f"retrieval.audio_to_video.{metric}", "A"]["value"] == pytest.approx(mean, abs=2e-6)


def test_a_difference_is_paired():
    first = pairs(0)
    score = pa.array(first["score"].to_numpy() + 0.05 * first["is_match"].to_numpy(zero_copy_only=False))
    second = first.set_column(first.schema.get_field_index("score"), first.schema.field("score"), score)
    result = rows_of(compare([Run("A", [first]), Run("B", [second]), Run("C", [first])], 300, 0))
    a, b, c = (result["correspondence.auc", name] for name in "ABC")
    assert a["difference"] is None and b["difference"] == pytest.approx(b["value"] - a["value"], abs=2e-6)
    assert b["difference_high"] - b["difference_low"] < (a["high"] - a["low"]) / 3
    assert (c["difference"], c["difference_low"], c["difference_high"]) == (0, 0, 0)


def test_seeds_are_averaged():
    tables = [pairs(seed, 0.8) for seed in range(3)]
    alone = [rows_of(compare([Run("A", [t])], 50, 0))["correspondence.auc", "A"]["value"] for t in tables]
    row = rows_of(compare([Run("A", tables)], 50, 0))["correspondence.auc", "A"]
    assert row["seeds"] == alone and row["value"] == pytest.approx(np.mean(alone), abs=2e-6)
    assert row["deviation"] == pytest.approx(np.std(alone, ddof=1), abs=2e-6)
    assert row["low"] < row["value"] < row["high"]


def test_only_clips_in_common_are_compared_and_their_number_is_said():
    few = pairs(1, ids=IDS[20:])
    result = compare([Run("A", [pairs(0)]), Run("B", [few])], 20, 0)
    assert result.notes == ["correspondence: on the 40 test clips in common, of 60, 40"]
    assert {row["n"] for row in result.rows} == {39, 40}  # one pair of A has a clip that B does not have
    with pytest.raises(UserError, match="no test clip in common"):
        compare([Run("A", [pairs(0, ids=IDS[:20])]), Run("B", [few])], 20, 0)


def test_retrieval_among_other_clips_is_left_out():
    def query(ids):
        values = dict.fromkeys(retrieval.METRICS, [0.5] * len(ids))
        return predictions.concatenate([pairs(0, ids=ids), table("query", ids, "audio_to_audio", **values)])

    result = compare([Run("A", [query(IDS)]), Run("B", [query(IDS[:30])])], 20, 0)
    assert any("retrieval.audio_to_audio: left out: the runs rank different clips" in n for n in result.notes)
    assert {row["metric"].partition(".")[0] for row in result.rows} == {"correspondence"}


def test_other_classes_and_other_tasks_are_not_compared():
    p, targets = np.full((N, 3), 1 / 3), np.eye(3, dtype=bool)[np.arange(N) % 3]
    first = table("class", **predictions.class_columns(p, targets, CLASSES, False))
    other = table("class", **predictions.class_columns(p, targets[::-1], CLASSES, False))
    with pytest.raises(UserError, match="predict different classes of the same clips"):
        compare([Run("A", [first]), Run("B", [other])], 20, 0)
    with pytest.raises(UserError, match="no metric in common"):
        compare([Run("A", [first]), Run("B", [pairs(0)])], 20, 0)


def test_folds_have_scores_of_their_own():
    """Models of two folds are perfect on their own clips, though their scores are not on one scale."""
    parts = []
    for fold, ids in enumerate((IDS[:30], IDS[30:])):
        match = np.arange(30) % 2 == 0
        part = pairs(fold, 0.0, ids, fold=[fold] * 30)
        parts.append(
            part.set_column(part.schema.get_field_index("score"), "score", pa.array(match + 10.0 * fold))
        )
    pooled = predictions.concatenate([part.cast(predictions.SCHEMA) for part in parts])
    assert rows_of(compare([Run("A", [pooled])], 20, 0))["correspondence.auc", "A"]["value"] == 1


def test_classes_of_folds_are_joined():
    p, targets = np.array([[0.7, 0.3]]), np.array([[True, False]])
    tables = []
    for ids, names in ((["c0"], ["a", "b"]), (["c1"], ["b", "c"])):
        columns = predictions.class_columns(p, targets, names, False)
        tables.append(predictions.make_table({**_clip(ids), **columns}, names))
    joined = predictions.concatenate(tables)
    assert predictions.read_classes(joined) == (["a", "b", "c"], False)
    assert joined["probabilities"].to_pylist() == [[0.7, 0.3, 0.0], [0.0, 0.7, 0.3]]


def _clip(ids):
    return {"kind": ["class"], "name": [""], "split": ["test"], "clip_id": ids, "group": ids, "labels": [[]]}


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", "other"])
def test_a_file_that_is_no_table_of_predictions_is_one_line(content):
    if content == "other":
        file = io.BytesIO()
        pq.write_table(pa.table({"kind": ["pair"]}), file)
        content = file.getvalue()
    with pytest.raises(UserError, match="x: ") as e:
        predictions.read(io.BytesIO(content), "x")
    assert "\n" not in str(e.value)
