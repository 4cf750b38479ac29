"""VoxCeleb1-O: EER and minDCF as SpeechBrain defines them, on published trials and on others."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Options, Subset, Windows
from pipeline.metrics.protocols.voxceleb1_o import error_metrics

PROTOCOL = protocols.get("voxceleb1_o")
TRIALS = """1 id1/r1/00001.wav id1/r2/00001.wav
0 id1/r1/00001.wav id2/r1/00003.m4a
1 id2/r1/00003.wav id2/r9/00001.wav
0 id1/r2/00001.wav id2/r9/00001.wav
"""


def by_definition(scores, is_same):
    """EER and minDCF, threshold by threshold: all scores and the midpoints between them."""
    values = np.unique(scores)
    best, cost = (2.0, 0.0), 2.0
    for threshold in np.sort(np.concatenate([values, (values[1:] + values[:-1]) / 2])):
        miss = (scores[is_same] <= threshold).mean()
        false_alarm = (scores[~is_same] > threshold).mean()
        best = min(best, (abs(miss - false_alarm), (miss + false_alarm) / 2), key=lambda pair: pair[0])
        cost = min(cost, 0.01 * miss + 0.99 * false_alarm)
    return best[1], cost


@pytest.mark.parametrize("decimals", [6, 1])
def test_definition(decimals):
    rng = np.random.default_rng(0)
    is_same = rng.random(300) < 0.3
    scores = (rng.normal(size=300) + 1.5 * is_same).round(decimals)  # with one decimal there are ties
    metrics = error_metrics(scores, is_same, None, 50, 0)
    eer, cost = by_definition(scores, is_same)
    assert metrics["eer"] == pytest.approx(eer, abs=1e-6)
    assert metrics["min_dcf"] == pytest.approx(cost, abs=1e-6)
    assert metrics["min_dcf_normalized"] == pytest.approx(100 * cost, abs=1e-4)
    low, high = metrics["ci"]["eer"]
    assert low <= metrics["eer"] <= high


def test_trials_by_hand(tmp_path):
    path = tmp_path / "veri_test2.txt"
    path.write_text(TRIALS)
    listing = PROTOCOL.read(PROTOCOL.find_list(str(tmp_path)))
    assert listing.truth == {
        "id1/r1/00001": "id1",
        "id1/r2/00001": "id1",
        "id2/r1/00003": "id2",
        "id2/r9/00001": "id2",
    }
    # Windows of one utterance are averaged. Without the last utterance, two of four trials remain.
    ids = list(listing.truth)[:3]
    vectors = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [1, 0]]], float)
    subset = Subset(ids, [listing.truth[name] for name in ids], ids, listing.extra)
    result = PROTOCOL.evaluate(Windows({"audio": vectors}), subset, Options(50))
    assert result["n"] == 2 and result["n_trials_listed"] == 4
    assert result["audio"]["eer"] == 0 and result["audio"]["n_same"] == 1
    both = PROTOCOL.evaluate(Windows({"audio": vectors, "video": vectors}), subset, Options(50))
    assert list(both) == ["n", "n_trials_listed", "audio", "video", "both"]


def test_utterances_are_found_by_the_end_of_their_path():
    row = {"subject": "A.J._Buckley", "audio": "/v/wav/id10001/1zcIwhmdeo4/00001.wav"}
    assert list(PROTOCOL.ids(row)) == ["id10001/1zcIwhmdeo4/00001"]
    listing = protocols._base.Listing({"id10001/other/00007": "id10001"})
    assert PROTOCOL.is_listed(row, listing)  # another utterance of a speaker of the trials
    assert not PROTOCOL.is_listed(row | {"audio": "/v/id10002/a/1.wav"}, listing)


def test_other_data_have_trials_of_their_own():
    rng = np.random.default_rng(0)
    people = list("aabbcc")
    windows = Windows({"audio": rng.normal(size=(6, 1, 4))})
    result = PROTOCOL.evaluate(windows, Subset(list("123456"), people, list("uvwxyz")), Options(50))
    assert result["n"] == 15 and result["audio"]["n_same"] == 3
    with pytest.raises(UserError, match="it needs both kinds"):
        PROTOCOL.evaluate(windows, Subset(list("123456"), list("abcdef"), list("uvwxyz")), Options(50))


@pytest.mark.parametrize(
    "line", ["2 a/b/c.wav a/b/d.wav", "1 a/b/c.wav", "1 a.wav b.wav", "1 a/b/c.wav a/b/d.wav x"]
)
def test_invalid_lines_are_named(line, tmp_path):
    path = tmp_path / "veri_test2.txt"
    path.write_text(line)
    with pytest.raises(UserError, match="line 1: not 0 or 1 and two utterances"):
        PROTOCOL.read(str(path))
