"""The grid's tables: which pair is best, which loss, what is noise; the best once more with other seeds."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from models import checkpoint
from models.evaluation import pairs, trial
from pipeline import leaderboard as board
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.metrics import correspondence
from pipeline.store.metric_files import write_json


def read(audio: str, video: str, loss: str) -> board.Cell:
    """A cell, from what the stage grid wrote."""
    path = Path(f"metrics/grid/{audio}-{video}-{loss}.json")
    history = pd.read_csv(path.with_suffix(".csv")).to_dict("records")
    return board.Cell(audio, video, loss, json.loads(path.read_text(encoding="utf-8")), history)


def areas(model: checkpoint.Model, data: dataset.Dataset, params) -> np.ndarray:
    """The AUC of the model in each resample of the test pairs."""
    sides = model.embed(data, data.of("test"))
    found = pairs.judged(model, data, *sides, params.pairing, params.label, params.seed)
    return correspondence.areas(*found, params.evaluate.bootstrap, params.seed)


def leaderboard() -> None:
    params = load("leaderboard", table="grid")
    grid = params.grid
    data = dataset.load("data", params.audio, params.video, params.input)
    cells = [read(*names) for names in product(grid.audio_encoder, grid.video_encoder, grid.loss)]
    for each in cells:
        each.areas.append(areas(checkpoint.load(f"grid/checkpoints/{each.name}"), data, params))
    leaders = board.leading(cells, grid.leaders)
    for leader, seed in product(leaders, grid.seeds):
        print(f"leaderboard: {leader.name} with seed {seed}", flush=True)
        names = {"audio_encoder": leader.audio, "video_encoder": leader.video, "loss": leader.loss}
        model, found = trial.run(params, data, f"grid/leaders/{leader.name}-{seed}", **names, seed=seed)
        leader.seeds.append(found.metrics)
        leader.areas.append(areas(model, data, params))
    found = board.summary(cells, leaders, params.evaluate.bootstrap, params.seed)
    write_json(found, "metrics/leaderboard.json")
    about = (
        f"{len(data.of('train'))} clips train, {len(data.of('val'))} choose the epoch, for"
        f" {params.train.epochs} epochs; `pairing: {params.pairing}`, `matcher: {params.matcher}`; sizes"
        " stand in `params.yaml`, section `grid`."
    )
    Path("docs").mkdir(exist_ok=True)
    Path("docs/leaderboard.md").write_text(board.markdown(found, about), encoding="utf-8")
    board.write_page(found, cells, leaders, "grid/report/index.html")
    best = found["rows"][0]
    print(f"leaderboard: {len(cells)} pairs; the best is {best['name']}, AUC {best['auc']:.3f}")


if __name__ == "__main__":
    run(leaderboard)
