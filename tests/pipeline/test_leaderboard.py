"""The grid's tables, on numbers that can be checked by hand."""

import re

import numpy as np
import pytest

from pipeline import leaderboard
from pipeline.leaderboard import Cell

noise = 0.03 * np.random.default_rng(0).normal(size=200)  # what all have in common: luck with the test clips
EVIL = "<script>alert(1)</script>"


def metrics(auc, val=0.5, half=0.05):
    pairs = {"accuracy": auc - 0.05, "auc": auc, "n": 80}
    pairs["ci"] = {k: [pairs[k] - half, pairs[k] + half] for k in ("accuracy", "auc")}
    direction = {"ndcg_30": auc / 2}
    return {
        "correspondence": pairs,
        "retrieval": dict.fromkeys(("audio_to_video", "video_to_audio"), direction),
        "chosen": {"val/auc": val},
    }


def cell(audio, video, loss, auc, val=0.5, **more):
    history = [{"epoch": e, "train/loss": 1.0, "val/auc": auc, "val/accuracy": auc} for e in (1, 2, 3)]
    return Cell(audio, video, loss, metrics(auc, val, **more), history, areas=[auc + noise])


@pytest.fixture
def cells():
    return [
        cell("a", "v", "bce", 0.80, val=0.7),
        cell("a", "v", "multi", 0.90, val=0.6),
        cell("a", "w", "bce", 0.60, val=0.9),
        cell("a", "w", "multi", 0.64, val=0.8),
        cell("b", "v", "bce", 0.54, half=0.1),
        cell("b", "v", "multi", 0.86),
    ]


def test_rank_noise_and_chance(cells):
    found = leaderboard.summary(cells, [], 200, 0)
    assert [r["auc"] for r in found["rows"]] == [0.90, 0.86, 0.80, 0.64, 0.60, 0.54]
    assert [r["near"] for r in found["rows"]] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]  # as sure as can be: the luck is shared
    assert found["rows"][1]["behind"] == pytest.approx(0.04)
    assert found["rows"][1]["behind_ci"] == pytest.approx([0.04, 0.04])
    assert [r["above_chance"] for r in found["rows"]] == [True] * 5 + [False]
    text = leaderboard.markdown(found, "About.")
    assert "1 of the 6 is not above it" in text and text.count("not above chance") == 1
    first, second = text.split("## All")[1].splitlines()[6:8]
    assert first.startswith("| `a` | `v` | `multi` | 0.850 [0.800, 0.900] | 0.900 [0.850, 0.950] |")
    assert first.endswith("| 0.450, 0.450 |  | best |")
    assert second.endswith("| 0.430, 0.430 | 0.040 [0.040, 0.040] |  |")
    assert "## The leading" not in text


def test_luck_of_its_own_is_noise(cells):
    cells[-1].areas = [0.86 + 0.05 * np.random.default_rng(1).normal(size=200)]
    found = leaderboard.summary(cells, [], 200, 0)["rows"][1]
    assert found["near"] and found["behind_ci"][0] < 0 < found["behind_ci"][1]
    assert "| ≈ |" in leaderboard.markdown(leaderboard.summary(cells, [], 200, 0), "")


def test_losses_are_compared_on_the_same_encoders(cells):
    found = leaderboard.summary(cells, [], 500, 0)
    against = found["against"]["multi"]["bce"]
    # differences 0.10, 0.04, 0.32
    assert against["difference"] == pytest.approx(0.46 / 3) and against["better_in"] == against["pairs"] == 3
    assert 0.04 <= against["ci"][0] < against["difference"] < against["ci"][1] <= 0.32
    back = found["against"]["bce"]["multi"]
    assert back["difference"] == pytest.approx(-against["difference"]) and back["better_in"] == 0
    assert {r["loss"]: r["auc"] for r in found["losses"]}["bce"] == pytest.approx((0.8 + 0.6 + 0.54) / 3)
    text = leaderboard.markdown(found, "")
    assert "**+0.153 [" in text
    assert "`multi`, which VideoSound-Matching proposes, is better than `bce` (+0.153, 3 of 3 pairs)." in text


def test_leaders_are_those_validation_likes_and_stand_by_their_mean(cells):
    leaders = leaderboard.leading(cells, 2)
    assert [c.name for c in leaders] == ["a-w-bce", "a-w-multi"]
    leaders[0].seeds = [metrics(0.70), metrics(0.80)]  # with 0.60: 0.70
    leaders[1].seeds = [metrics(0.66), metrics(0.68)]  # with 0.64: 0.66
    leaders[0].areas += [0.70 + noise, 0.80 + noise]
    leaders[1].areas += [0.66 - 2 * noise, 0.68 - 2 * noise]
    rows = leaderboard.summary(cells, leaders, 100, 0)["leaders"]
    assert [r["auc"] for r in rows] == [pytest.approx(0.70), pytest.approx(0.66)]
    assert rows[0]["auc_seeds"] == [0.60, 0.70, 0.80]
    assert rows[0]["auc_ci"] == [pytest.approx(0.65), pytest.approx(0.75)]
    assert rows[1]["behind"] == pytest.approx(0.04) and rows[1]["near"]
    assert "each trained with 3 seeds" in leaderboard.markdown(
        leaderboard.summary(cells, leaders, 100, 0), ""
    )


def test_the_page_stands_alone_and_names_stay_text(cells, tmp_path):
    cells.append(cell(EVIL, "v", "bce", 0.7))
    leaders = leaderboard.leading(cells, 2)
    found = leaderboard.summary(cells, leaders, 100, 0)
    path = leaderboard.write_page(found, cells, leaders, tmp_path / "sub/index.html")
    text = path.read_text()
    assert EVIL not in text and "&lt;script&gt;" in text and "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)|@import|url\((?!data:)', text)
    assert text.count('class="heat"') == 2 and text.count("<svg") == 4
    assert '--heat:100%" class="high"' in text and "0.90" in text


def test_without_validation_there_is_still_an_order(cells):
    for c in cells:
        c.metrics["chosen"], c.history = {}, [{"epoch": 1, "train/loss": 1.0}]
    assert len(leaderboard.leading(cells, 2)) == 2
    assert leaderboard._curves(cells, cells[:2]) == []
