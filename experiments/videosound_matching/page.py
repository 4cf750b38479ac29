"""The page of the grid: for each loss a heat map of the pairs of encoders, and validation curves."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments.videosound_matching.table import Pair
from pipeline.report import charts
from pipeline.report import page as base_page

TEMPLATE = Path(__file__).with_name("grid.html")


def write_page(results: dict[str, Any], pairs: list[Pair], leaders: list[Pair], path: str | Path) -> Path:
    """Write the page of the grid as one HTML file, and return its path.

    results: what table.summarize returned for these pairs and leaders.
    """
    aucs = [row["auc"] for row in results["rows"]]
    low, high = min(0.5, *aucs), max(aucs)
    rows = {row["name"]: row | {"heat": _to_percent(row["auc"], low, high)} for row in results["rows"]}
    audio_encoders = list(dict.fromkeys(pair.audio for pair in pairs))
    video_encoders = list(dict.fromkeys(pair.video for pair in pairs))
    maps = []
    for loss in dict.fromkeys(pair.loss for pair in pairs):
        # A line of cells for each audio encoder; a cell is None if there is no such pair.
        lines = [
            (audio, [rows.get(f"{audio}-{video}-{loss}") for video in video_encoders])
            for audio in audio_encoders
        ]
        maps.append({"loss": loss, "lines": lines})
    return base_page.write_page(
        path,
        TEMPLATE,
        results=results,
        maps=maps,
        video=video_encoders,
        low=low,
        high=high,
        curves=list(validation_curves(pairs, leaders)),
    )


def _to_percent(value: float, low: float, high: float) -> int:
    """Return where a value lies between `low` (0 percent) and `high` (100 percent)."""
    return round(100 * (value - low) / max(high - low, 1e-9))


def validation_curves(pairs: list[Pair], leaders: list[Pair]) -> Iterator[dict[str, Any]]:
    """Yield charts of the validation AUC and accuracy by epoch: of the leaders, and the mean of each loss.

    A chart has `name`, `legend` (the names of its lines) and `svg`. There is none without validation metrics.
    """
    groups = {  # title of a chart -> name of a line -> the pairs whose mean it shows
        "The leading pairs": {pair.name: [pair] for pair in leaders},
        "Losses, the mean of all their pairs": {
            loss: [pair for pair in pairs if pair.loss == loss]
            for loss in dict.fromkeys(pair.loss for pair in pairs)
        },
    }
    for (title, line_pairs), key in product(groups.items(), ("val/auc", "val/accuracy")):
        lines = {name: _mean_curve(members, key) for name, members in line_pairs.items()}
        metric = "AUC" if key == "val/auc" else "accuracy"
        label = f"validation {metric}"
        if svg := charts.draw_lines(lines, f"{title}: {label} by epoch", "epoch", label):
            yield {"name": f"{title}: {metric}", "legend": list(lines), "svg": svg}


def _mean_curve(pairs: list[Pair], key: str) -> list[tuple[float, float]]:
    """Return (epoch, mean of a metric over the pairs) for each epoch of which all pairs have the metric."""
    points = []
    # Some pairs may have stopped early: zip ends with the shortest history.
    for epoch_metrics in zip(*(pair.history for pair in pairs), strict=False):
        if all(key in metrics for metrics in epoch_metrics):
            mean = np.mean([float(metrics[key]) for metrics in epoch_metrics])
            points.append((float(epoch_metrics[0]["epoch"]), float(mean)))
    return points
