"""The retrieval table: each line is what its name says."""

import numpy as np
import pytest

from experiments import retrieval_rows
from experiments.objects_that_sound import table
from pipeline.metrics import retrieval


def towers(count, seed, shared=4, noise=0.1):
    """Sounds and pictures that say the same, each in a language of its own."""
    rng = np.random.default_rng(seed)
    kind = np.arange(count) % 5
    meaning = np.eye(shared + 1)[kind] + noise * rng.normal(size=(count, shared + 1))
    languages = np.random.default_rng(7).normal(size=(2, shared + 1, 8))
    return {"audio": meaning @ languages[0], "video": meaning @ languages[1]}, [[f"k{k}"] for k in kind]


def test_cca_brings_two_languages_together():
    (train, _), (test, labels) = towers(200, 1), towers(60, 2)
    before = retrieval.evaluate(test, labels, bootstrap=0)["audio_to_video"]
    after = retrieval.evaluate(table.align(train, test, 128), labels, bootstrap=0)["audio_to_video"]
    assert after["ndcg_30"] > 0.9 > before["ndcg_30"] and after["ndcg_30"] > before["ndcg_30"] + 0.2


def test_columns_that_never_change_are_no_trouble():
    (train, _), (test, _) = towers(50, 1), towers(10, 2)
    for x in (train, test):
        x["audio"][:, 3:] = 1.0
    rows = table.align(train, test, 128)
    assert rows["audio"].shape == rows["video"].shape == (10, 3)
    assert all(np.isfinite(v).all() for v in rows.values())


def test_the_table_says_each_seed_and_their_mean():
    runs = [towers(40, seed, noise=1.0)[0] for seed in (1, 2)]
    labels, groups = towers(40, 0)[1], list(range(40))
    rows = retrieval_rows.evaluate(dict.fromkeys(table.METHODS, runs), labels, groups, 100, 0)
    cell = rows["AVE-Net"]["video_to_audio"]
    alone = [retrieval.evaluate(r, labels, groups, 0)["video_to_audio"] for r in runs]
    assert cell["seeds"] == [a["ndcg_30"] for a in alone]
    assert cell["ndcg_30"] == pytest.approx(np.mean(cell["seeds"]), abs=1e-6)
    assert cell["ci"]["ndcg_30"][0] < cell["ndcg_30"] < cell["ci"]["ndcg_30"][1] and cell["n"] == 40
    assert rows["chance"]["video_to_audio"]["ndcg_30"] == alone[0]["chance"]["ndcg_30"]
    about = dict.fromkeys(("train_clips", "epochs", "audio_encoder", "video_encoder", "loss", "pairing"), "x")
    text = table.markdown({"about": about, "results": rows})
    assert f"| AVE-Net | {rows['AVE-Net']['video_to_video']['ndcg_30']:.3f} [" in text and "2 seeds" in text
