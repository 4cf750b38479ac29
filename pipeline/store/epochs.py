"""What training measures in each epoch: `epochs.csv`, a row for each epoch and a column for each metric.

One file whatever the task, so that checking out another experiment leaves nothing behind.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from pipeline.store.metric_files import write_csv

FILE = "epochs.csv"
DRAWN = {  # stage -> the metrics that dvc.yaml draws: DVC draws nothing of a plot that misses a column
    "train": ("train/loss", "val/loss", "val/accuracy", "val/auc"),
    "pretrain": ("train/audio_mse", "train/video_mse", "train/contrastive", "train/contrastive_accuracy"),
}


def write(folder: str | Path, history: Sequence[dict[str, float]], stage: str) -> None:
    """Write the metrics of all epochs so far. A metric that the task does not have is `nan`."""
    names = list(dict.fromkeys([*DRAWN[stage], *(name for row in history for name in row)]))
    rows = [[i, *(row.get(name, math.nan) for name in names)] for i, row in enumerate(history, 1)]
    write_csv([["epoch", *names], *rows], Path(folder) / FILE)


def read(folder: str | Path) -> list[dict[str, float]]:
    """The rows of `epochs.csv`; none without a file."""
    try:
        with open(Path(folder) / FILE, newline="", encoding="utf-8") as f:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(f)]
    except FileNotFoundError:
        return []
