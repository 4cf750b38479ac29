"""Print the metrics of the last run as a table on the terminal; the last step of `make repro`.

python -m pipeline.report.terminal_table
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

METRICS, REPORT = Path("metrics/evaluate.json"), Path("report/index.html")


class MetricRow(NamedTuple):
    """A metric with its interval."""

    name: str  # as in `dvc metrics`, such as correspondence.auc
    value: float
    interval: list[float] | None  # 95%: low, high
    chance: float | None
    n: int


def metric_rows(metrics: dict, prefix: str = "") -> Iterator[MetricRow]:
    """Yield every metric that has an interval.

    metrics: nested, as in metrics/evaluate.json: beside the metrics of a section are "ci", "chance" and "n".
    prefix: is put before the names.
    """
    for key, value in metrics.items():
        if key in metrics.get("ci", {}) and value is not None:
            chance = metrics.get("chance", {}).get(key)
            yield MetricRow(f"{prefix}{key}", value, metrics["ci"][key], chance, metrics["n"])
        elif isinstance(value, dict) and key not in ("ci", "chance"):
            yield from metric_rows(value, f"{prefix}{key}.")


def print_metrics(metrics: dict, console: Console) -> None:
    """Print the metrics that have an interval as a table. metrics: as in metrics/evaluate.json."""
    table = Table(title="Test split", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for name in ("value", "95% interval", "chance", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in metric_rows(metrics):
        interval = f"{row.interval[0]:.3f}–{row.interval[1]:.3f}" if row.interval else ""
        chance = "" if row.chance is None else f"{row.chance:.3f}"
        table.add_row(row.name, f"{row.value:.3f}", interval, chance, str(row.n))
    console.print(table)


if __name__ == "__main__":
    if not METRICS.exists():
        sys.exit(f"{METRICS}: not there: run dvc repro")
    print_metrics(json.loads(METRICS.read_text(encoding="utf-8")), Console())
    if REPORT.exists():
        print(f"Report: {REPORT}")
