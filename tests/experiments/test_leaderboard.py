"""The tables of the grid, on numbers that can be checked by hand."""

import re

import numpy as np
import pytest

from experiments.videosound_matching import page, table
from experiments.videosound_matching.table import Pair

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


def pair(audio, video, loss, auc, val=0.5, **more):
    history = [{"epoch": e, "train/loss": 1.0, "val/auc": auc, "val/accuracy": auc} for e in (1, 2, 3)]
    return Pair(audio, video, loss, metrics(auc, val, **more), history, resampled_aucs=[auc + noise])


def markdown(results):
    about = {"train_clips": 9, "val_clips": 3, "epochs": 3, "pairing": "clip", "matcher": "distance"}
    return table.markdown({"about": about, "results": results})


@pytest.fixture
def pairs():
    return [
        pair("a", "v", "bce", 0.80, val=0.7),
        pair("a", "v", "multi", 0.90, val=0.6),
        pair("a", "w", "bce", 0.60, val=0.9),
        pair("a", "w", "multi", 0.64, val=0.8),
        pair("b", "v", "bce", 0.54, half=0.1),
        pair("b", "v", "multi", 0.86),
    ]


def test_rank_noise_and_chance(pairs):
    results = table.summarize(pairs, [], 200, 0)
    assert [r["auc"] for r in results["rows"]] == [0.90, 0.86, 0.80, 0.64, 0.60, 0.54]
    assert [r["near"] for r in results["rows"]] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]  # as sure as can be: the luck is shared
    assert results["rows"][1]["behind"] == pytest.approx(0.04)
    assert results["rows"][1]["behind_ci"] == pytest.approx([0.04, 0.04])
    assert [r["above_chance"] for r in results["rows"]] == [True] * 5 + [False]
    text = markdown(results)
    assert "the interval of 1 of the 6 reaches it" in text and text.count("not above chance") == 1
    first, second = text.split("### All")[1].splitlines()[6:8]
    assert first.startswith("| `a` | `v` | `multi` | 0.850 [0.800, 0.900] | 0.900 [0.850, 0.950] |")
    assert first.endswith("| 0.450, 0.450 |  | best |")
    assert second.endswith("| 0.430, 0.430 | 0.040 [0.040, 0.040] |  |")
    assert "### The best" not in text


def test_luck_of_its_own_is_noise(pairs):
    pairs[-1].resampled_aucs = [0.86 + 0.05 * np.random.default_rng(1).normal(size=200)]
    results = table.summarize(pairs, [], 200, 0)["rows"][1]
    assert results["near"] and results["behind_ci"][0] < 0 < results["behind_ci"][1]
    assert "| ≈ |" in markdown(table.summarize(pairs, [], 200, 0))


def test_losses_are_compared_on_the_same_encoders(pairs):
    results = table.summarize(pairs, [], 500, 0)
    against = results["against"]["multi"]["bce"]
    # differences 0.10, 0.04, 0.32
    assert against["difference"] == pytest.approx(0.46 / 3) and against["better_in"] == against["pairs"] == 3
    assert 0.04 <= against["ci"][0] < against["difference"] < against["ci"][1] <= 0.32
    back = results["against"]["bce"]["multi"]
    assert back["difference"] == pytest.approx(-against["difference"]) and back["better_in"] == 0
    assert {r["loss"]: r["auc"] for r in results["losses"]}["bce"] == pytest.approx((0.8 + 0.6 + 0.54) / 3)
    text = markdown(results)
    assert "**+0.153 [" in text
    assert "`multi`, which VideoSound-Matching proposes, is better than `bce` (+0.153, 3 of 3 pairs)." in text


def test_leaders_are_those_validation_likes_and_stand_by_their_mean(pairs):
    leaders = table.best_by_validation(pairs, 2)
    assert [leader.name for leader in leaders] == ["a-w-bce", "a-w-multi"]
    leaders[0].other_seeds = [metrics(0.70), metrics(0.80)]  # with 0.60: 0.70
    leaders[1].other_seeds = [metrics(0.66), metrics(0.68)]  # with 0.64: 0.66
    leaders[0].resampled_aucs += [0.70 + noise, 0.80 + noise]
    leaders[1].resampled_aucs += [0.66 - 2 * noise, 0.68 - 2 * noise]
    rows = table.summarize(pairs, leaders, 100, 0)["leaders"]
    assert [r["auc"] for r in rows] == [pytest.approx(0.70), pytest.approx(0.66)]
    assert rows[0]["auc_seeds"] == [0.60, 0.70, 0.80]
    assert rows[0]["auc_ci"] == [pytest.approx(0.65), pytest.approx(0.75)]
    assert rows[1]["behind"] == pytest.approx(0.04) and rows[1]["near"]
    assert "each trained with 3 seeds" in markdown(table.summarize(pairs, leaders, 100, 0))


def test_the_page_stands_alone_and_names_stay_text(pairs, tmp_path):
    pairs.append(pair(EVIL, "v", "bce", 0.7))
    leaders = table.best_by_validation(pairs, 2)
    results = table.summarize(pairs, leaders, 100, 0)
    path = page.write_page(results, pairs, leaders, tmp_path / "sub/index.html")
    text = path.read_text()
    assert EVIL not in text and "&lt;script&gt;" in text and "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)|@import|url\((?!data:)', text)
    assert text.count('class="heat"') == 2 and text.count("<svg") == 4
    assert '--heat:100%" class="high"' in text and "0.90" in text


def test_without_validation_there_is_still_an_order(pairs):
    for each in pairs:
        each.metrics["chosen"], each.history = {}, [{"epoch": 1, "train/loss": 1.0}]
    assert len(table.best_by_validation(pairs, 2)) == 2
    assert list(page.validation_curves(pairs, pairs[:2])) == []
