"""Rank the pairs of the grid; train the best of them again with other seeds."""

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from experiments.study import FOLDER, Stopwatch, load_stage, write_results
from experiments.videosound_matching import page, table
from experiments.videosound_matching.grid import METRICS, MODELS, SYSTEM, GridStudy
from experiments.videosound_matching.table import Pair
from models import checkpoint
from models.evaluation import pairs as test_pairs
from models.evaluation import trial
from pipeline.cli import run
from pipeline.dataset import dataset
from pipeline.metrics import correspondence

LEADERS = FOLDER / SYSTEM / "models/leaders"


def read_pair(audio: str, video: str, loss: str) -> Pair:
    """Read what the stage `grid` wrote for two encoders and a loss, which are given by their names."""
    path = METRICS / f"{audio}-{video}-{loss}.json"
    history = pd.read_csv(path.with_suffix(".csv")).to_dict("records")
    return Pair(audio, video, loss, json.loads(path.read_text(encoding="utf-8")), history)


def resampled_aucs(model: checkpoint.Model, data: dataset.Dataset, params: Any) -> np.ndarray:
    """Return the AUC of a model in each bootstrap resample of the test pairs, (resamples,)."""
    audio, video = model.embed(data, data.indices("test"))
    pairs = test_pairs.score_pairs(model, data, audio, video, params.pairing, params.label, params.seed)
    resampling = params.evaluate.bootstrap, params.seed
    return correspondence.resample_aucs(pairs.scores, pairs.is_match, pairs.groups, *resampling)


def leaderboard() -> None:
    """Rank all pairs, train the leaders with other seeds, and write metrics.json, the tables and the page."""
    stopwatch = Stopwatch(LEADERS)
    params, study = load_stage(SYSTEM, "leaderboard", GridStudy)
    data = dataset.load("data", params.audio, params.video, params.input)
    names = product(study.grid.audio_encoder, study.grid.video_encoder, study.grid.loss)
    pairs = [read_pair(audio, video, loss) for audio, video, loss in names]
    for pair in pairs:
        pair.resampled_aucs.append(resampled_aucs(checkpoint.load(MODELS / pair.name), data, params))
    leaders = table.best_by_validation(pairs, study.leaders)
    for leader, seed in product(leaders, study.seeds):
        print(f"leaderboard: {leader.name} with seed {seed}", flush=True)
        components = {"audio_encoder": leader.audio, "video_encoder": leader.video, "loss": leader.loss}
        out = LEADERS / f"{leader.name}-{seed}"
        model, evaluation = trial.run(params, data, out, **components, seed=seed)
        leader.other_seeds.append(evaluation.metrics)
        leader.resampled_aucs.append(resampled_aucs(model, data, params))
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": {
            "train_clips": len(data.indices("train")),
            "val_clips": len(data.indices("val")),
            "epochs": params.train.epochs,
            "pairing": params.pairing,
            "matcher": params.matcher,
        },
        "results": table.summarize(pairs, leaders, params.evaluate.bootstrap, params.seed),
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    page.write_page(metrics["results"], pairs, leaders, FOLDER / SYSTEM / "report/index.html")
    best = metrics["results"]["rows"][0]
    print(f"leaderboard: {len(pairs)} pairs; the best is {best['name']}, AUC {best['auc']:.3f}")


if __name__ == "__main__":
    run(leaderboard)
