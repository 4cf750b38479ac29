"""Print the metrics of the last run as a table on the terminal; the last step of `make repro`.

python -m pipeline.report.terminal_table
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

METRICS, REPORT = Path("metrics/evaluate.json"), Path("report/index.html")


def rows(metrics: dict, path: str = "") -> Iterator[tuple[str, float, list[float] | None, float | None, int]]:
    """Yield (name as in `dvc metrics`, value, 95% interval, chance, n) of every metric with an interval."""
    for key, value in metrics.items():
        if key in metrics.get("ci", {}) and value is not None:
            chance = metrics.get("chance", {}).get(key)
            yield f"{path}{key}", value, metrics["ci"][key], chance, metrics["n"]
        elif isinstance(value, dict) and key not in ("ci", "chance"):
            yield from rows(value, f"{path}{key}.")


def show(metrics: dict, console: Console) -> None:
    """Print the table."""
    table = Table(title="Test split", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for name in ("value", "95% interval", "chance", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, value, ci, chance, n in rows(metrics):
        interval = f"{ci[0]:.3f} to {ci[1]:.3f}" if ci else ""
        table.add_row(name, f"{value:.3f}", interval, "" if chance is None else f"{chance:.3f}", str(n))
    console.print(table)


if __name__ == "__main__":
    if not METRICS.exists():
        sys.exit(f"{METRICS}: not there: run dvc repro")
    show(json.loads(METRICS.read_text(encoding="utf-8")), Console())
    if REPORT.exists():
        print(f"Report: {REPORT}")
