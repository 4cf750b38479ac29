"""VGGSounder's measures: as scikit-learn computes them, which the package uses, and by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Options, Probabilities, Subset
from pipeline.metrics.protocols.vggsounder import COLUMNS, KS, PARTS

PROTOCOL = protocols.get("vggsounder")
OPTIONS = Options(bootstrap=20)


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    classes = [f"class {c:02}" for c in range(12)]
    kinds = np.array(["A", "V", "AV"])
    truth = [
        [(classes[c], kinds[rng.integers(3)]) for c in rng.choice(11, rng.integers(1, 4), replace=False)]
        for _ in range(40)
    ]
    p = {name: rng.dirichlet(np.ones(12), 40) for name in ("both", "audio", "video")}
    ids = list(map(str, range(40)))
    result = PROTOCOL.evaluate(Probabilities(classes, p), Subset(ids, truth, ids), OPTIONS)
    for part, (name, modalities) in PARTS.items():
        targets = np.array([[(c, m) in set(t) for c in classes] for m in modalities for t in truth])
        targets = targets.reshape(len(modalities), 40, 12).any(0)
        rows = targets.any(1)  # the package leaves out clips without such a label
        y, scores, metrics = targets[rows], p[name][rows], result[part]
        assert metrics["n"] == rows.sum() and metrics["n_labels"] == y.sum()
        for k in KS:
            top = np.zeros_like(y)
            np.put_along_axis(top, np.argsort(scores, axis=1)[:, -k:], True, axis=1)
            expected = {
                f"f1_{k}": f1_score(y, top, average="micro"),
                f"f1_macro_{k}": f1_score(y, top, average="macro", zero_division=0),
                f"accuracy_{k}": accuracy_score(y, top),
                f"hit_rate_{k}": (y & top).any(1).mean(),
            }
            assert {metric: metrics[metric] for metric in expected} == pytest.approx(expected, abs=1e-6)
        present = [c for c in range(12) if y[:, c].any()]
        average_precision = [average_precision_score(y[:, c], scores[:, c]) for c in present]
        assert metrics["map"] == pytest.approx(np.mean(average_precision), abs=1e-6)
        auc = [roc_auc_score(y[:, c], scores[:, c]) for c in present]
        assert metrics["auc_roc"] == pytest.approx(np.mean(auc), abs=1e-6)
        for metric in metrics["ci"]:
            low, high = metrics["ci"][metric]
            assert low <= high and 0 <= metrics["chance"][metric] <= 1
    hit = {name: np.array([classes[row.argmax()] in dict(t) for row, t in zip(s, truth, strict=True)])
           for name, s in p.items()}  # fmt: skip
    confused = (hit["audio"] & ~hit["both"]).mean()
    assert result["confusion"]["mu_audio"] == pytest.approx(confused)


def test_by_hand():
    """A model of sounds that knows two of three classes, on clips with two labels and with one."""
    truth = [[("dog", "AV"), ("wind", "A")], [("cat", "V")], [("wind", "A")]]
    p = {"audio": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])}
    subset = Subset(["a", "b", "c"], truth, ["a", "b", "c"])
    result = PROTOCOL.evaluate(Probabilities(["dog", "cat"], p), subset, OPTIONS)
    assert list(result) == ["n", "classes", "audible", "only_audible"] and result["classes"] == 3
    audible = result["audible"]  # clips a and c, with 3 labels: of the first answers, one is right
    assert audible["n"] == 2 and audible["f1_1"] == pytest.approx(2 / 5) and audible["hit_rate_1"] == 0.5
    assert audible["f1_macro_1"] == pytest.approx(2 / 3 / 3, abs=1e-6)  # dog 2/3; cat and wind 0
    assert audible["chance"]["hit_rate_1"] == 1.0  # always wind


def test_without_published_flags_a_label_is_heard_and_seen():
    assert PROTOCOL.own_truth({"labels": ["x"]}) == [("x", "AV")]
    assert PROTOCOL.own_truth({"labels": ["x", "y"], "modality": ["A", "V"]}) == [("x", "A"), ("y", "V")]
    assert PROTOCOL.own_truth({"labels": None}) == []


def test_published_list(shared_lists):
    listing = PROTOCOL.read(PROTOCOL.find_list(str(shared_lists)))
    assert len(listing.truth) == 12014 and len(listing.extra) == 309
    assert sum(m == "AV" for labels in listing.truth.values() for _, m in labels) == 18377


@pytest.mark.parametrize(
    "row", ["a_000001,dog,B,False,False,False", "a,dog,A,False,False,False", "a_000001,dog"]
)
def test_invalid_rows_are_named(row, tmp_path):
    path = tmp_path / "vggsounder.csv"
    path.write_text(",".join(COLUMNS) + f"\n{row}\n")
    with pytest.raises(UserError, match=r"line 2: not a clip, a label and A, V or AV: a"):
        PROTOCOL.read(str(path))
    path.write_text(row)
    with pytest.raises(UserError, match="its columns should be"):
        PROTOCOL.read(str(path))
