"""Compare models on the same test clips.

    python -m experiments compare A B ... [--metric PATTERN]

A, B, ...: folders, models of studies, DVC experiments, Git revisions (find_runs.py). Writes `comparison/`: a
table in Markdown and CSV, and a picture. What is compared how: pipeline/metrics/comparison.py.
"""

import argparse
import csv
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from experiments.find_runs import find_run
from pipeline.errors import UserError
from pipeline.metrics import comparison
from pipeline.metrics.comparison import Comparison, Run
from pipeline.report import plots

OUT = "comparison"


def compare(arguments: list[str]) -> None:
    """Run the command: compare the models that the arguments name, and print and write the result."""
    parser = argparse.ArgumentParser(prog="python -m experiments compare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="the first is what the others are compared with"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    report([find_run(name) for name in options.names], options)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all commands have that print a comparison."""
    parser.add_argument(
        "--metric", action="append", metavar="PATTERN", help="such as correspondence.auc, 'retrieval.*.map'"
    )
    parser.add_argument("--out", default=OUT, help="folder of the table and the picture")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default: 0)")


def report(runs: list[Run], options: argparse.Namespace) -> None:
    """Compare runs; print the table, and write it and the picture to a folder."""
    if options.bootstrap < 1:
        raise UserError(f"--bootstrap: {options.bootstrap}: at least 1 resample is needed")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"{', '.join(names)}: one of them is there twice: name each model once")
    result = comparison.compare(runs, options.bootstrap, options.seed)
    rows = select_metrics(result.rows, options.metric)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(Comparison(rows, result.notes), len(runs))
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_csv(rows, folder / "table.csv")
    plots.save_intervals(folder / "comparison.png", _panels(rows))
    print(f"{text}\ncompare: wrote {folder}/table.md, table.csv and comparison.png")


def select_metrics(rows: list[dict[str, Any]], patterns: list[str] | None) -> list[dict[str, Any]]:
    """Return the rows of the metrics that match a pattern; None: all. Raises UserError if none matches."""
    if not patterns:
        return rows
    selected = [row for row in rows if any(fnmatch(row["metric"], pattern) for pattern in patterns)]
    if not selected:
        names = ", ".join(dict.fromkeys(row["metric"] for row in rows))
        raise UserError(f"--metric: {', '.join(patterns)}: no such metric; choose from {names}")
    return selected


def markdown(result: Comparison, n_runs: int) -> str:
    """Return the table in Markdown: a row for each metric, a column for each run, and notes."""
    rows = result.rows
    names = [row["run"] for row in rows[:n_runs]]
    lines = [
        "| metric | n | " + " | ".join(names) + " |",
        "| --- | ---: |" + " --- |" * n_runs,
    ]
    for start in range(0, len(rows), n_runs):
        of_metric = rows[start : start + n_runs]
        cells = " | ".join(_cell(row) for row in of_metric)
        n = "/".join(dict.fromkeys(str(row["n"]) for row in of_metric))
        lines.append(f"| {of_metric[0]['metric']} | {n} | {cells} |")
    lines += ["", _explain_cells(rows, n_runs), *(f"- {note}" for note in result.notes)]
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    """Return a value with its deviation over seeds and its interval, and the difference to the first run."""
    deviation = "" if row["deviation"] is None else f" ± {row['deviation']:.3f}"
    text = f"{row['value']:.3f}{deviation} {_interval(row['low'], row['high'], '.3f')}"
    if row["difference"] is None:
        return text
    low, high = row["difference_low"], row["difference_high"]
    difference = f"{row['difference']:+.3f} {_interval(low, high, '+.3f')}"
    is_noise = low is None or low <= 0 <= high
    return f"{text}<br>{difference if is_noise else f'**{difference}**'}"


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _explain_cells(rows: list[dict[str, Any]], n_runs: int) -> str:
    """Say what the cells of the table hold."""
    text = "Each value has its 95% interval (bootstrap over videos, or over persons for verification)."
    if any(row["deviation"] is not None for row in rows):
        counts = ", ".join(f"{row['run']} {len(row['seeds'])}" for row in rows[:n_runs])
        text += f" Values are means over seeds ({counts}), ± is the standard deviation over them."
    if n_runs > 1:
        text += (
            f" Below it is the difference to {rows[0]['run']} on the same resamples, with its interval; bold:"
            " the interval does not reach 0. Intervals are not corrected for the number of comparisons."
        )
    return text


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Write a row for each metric and run; the values of the seeds have spaces between them."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"seeds": " ".join(map(str, row["seeds"]))} for row in rows)


def _panels(rows: list[dict[str, Any]]) -> dict[str, list[plots.Interval]]:
    """Return metric -> name, value and interval of each run, for the picture."""
    panels: dict[str, list[plots.Interval]] = {}
    for row in rows:
        ends = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
        panels.setdefault(row["metric"], []).append(plots.Interval(row["run"], row["value"], *ends))
    return panels
