"""The page of the grid: heat maps of the pairs, a map for each loss, and validation curves."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments.videosound_matching.table import Pair
from pipeline.report import charts
from pipeline.report import page as base_page

TEMPLATE = Path(__file__).with_name("grid.html")


def write(results: dict[str, Any], pairs: list[Pair], leaders: list[Pair], path: str | Path) -> Path:
    """Write the page. results: as of table.summarize."""
    aucs = [row["auc"] for row in results["rows"]]
    low, high = min(0.5, *aucs), max(aucs)
    rows = {row["name"]: row | {"heat": _percent(row["auc"], low, high)} for row in results["rows"]}
    audio, video, losses = (
        list(dict.fromkeys(getattr(pair, kind) for pair in pairs)) for kind in ("audio", "video", "loss")
    )
    maps = [
        {"loss": loss, "lines": [(a, [rows.get(f"{a}-{v}-{loss}") for v in video]) for a in audio]}
        for loss in losses
    ]
    curves = list(validation_curves(pairs, leaders))
    return base_page.write_page(
        path, TEMPLATE, results=results, maps=maps, video=video, low=low, high=high, curves=curves
    )


def _percent(value: float, low: float, high: float) -> int:
    """Return where `value` lies between `low` (0) and `high` (100)."""
    return round(100 * (value - low) / max(high - low, 1e-9))


def validation_curves(pairs: list[Pair], leaders: list[Pair]) -> Iterator[dict[str, Any]]:
    """Yield charts of validation metrics by epoch: of the leaders, and the mean of each loss."""
    groups = {
        "The leading pairs": {pair.name: [pair] for pair in leaders},
        "Losses, the mean of all their pairs": {
            loss: [pair for pair in pairs if pair.loss == loss]
            for loss in dict.fromkeys(pair.loss for pair in pairs)
        },
    }
    for (title, series), key in product(groups.items(), ("val/auc", "val/accuracy")):
        lines = {name: _mean_curve(members, key) for name, members in series.items()}
        metric = "AUC" if key == "val/auc" else "accuracy"
        label = f"validation {metric}"
        if svg := charts.draw_lines(lines, f"{title}: {label} by epoch", "epoch", label):
            yield {"name": f"{title}: {metric}", "legend": list(lines), "svg": svg}


def _mean_curve(pairs: list[Pair], key: str) -> list[tuple[float, float]]:
    """Return (epoch, mean of `key` over pairs) for each epoch that all have."""
    return [
        (float(rows[0]["epoch"]), float(np.mean([float(row[key]) for row in rows])))
        for rows in zip(*(pair.history for pair in pairs), strict=False)
        if all(key in row for row in rows)
    ]
