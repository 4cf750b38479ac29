"""The metrics of each epoch of a training: `epochs.csv`, a row per epoch and a column per metric.

All tasks write a file of this name. If each task had a name of its own, the checkout of another experiment
would leave the file of this one behind.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from pipeline.store.metric_files import write_csv

FILE = "epochs.csv"
# stage -> metrics that dvc.yaml plots: DVC plots nothing if one of the columns is missing
PLOTTED_METRICS = {
    "train": ("train/loss", "val/loss", "val/accuracy", "val/auc"),
    "pretrain": ("train/audio_mse", "train/video_mse", "train/contrastive", "train/contrastive_accuracy"),
}


def write_history(folder: str | Path, history: Sequence[dict[str, float]], stage: str) -> None:
    """Write the metrics of all epochs so far to `epochs.csv` in a folder.

    history: for each epoch, the values by the names of the metrics. stage: `train` or `pretrain`; a metric
    that DVC plots for it and that the task does not have is `nan`.
    """
    names = list(dict.fromkeys([*PLOTTED_METRICS[stage], *(name for row in history for name in row)]))
    rows = [[i, *(row.get(name, math.nan) for name in names)] for i, row in enumerate(history, 1)]
    write_csv([["epoch", *names], *rows], Path(folder) / FILE)


def read_history(folder: str | Path) -> list[dict[str, float]]:
    """Return the metrics of each epoch, by their names, from `epochs.csv` in a folder.

    `epoch` (from 1) is among them. The list is empty if there is no file.
    """
    try:
        with open(Path(folder) / FILE, newline="", encoding="utf-8") as f:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(f)]
    except FileNotFoundError:
        return []
