"""Writes the generated parts of all README files of this folder, from published.yaml and metrics.json.

python -m experiments.table
"""

import importlib
import json
from pathlib import Path

from experiments import readme
from experiments.published import read_metrics, read_published, result_of
from pipeline.cli import run
from pipeline.config import ROOT

FOLDER = ROOT / "experiments"
COLUMNS = ("system", "data here", "model", "metric", "published", "here", "command", "when", "how long")
NOT_RECORDED = "not recorded"


def systems() -> list[Path]:
    """Return the folder of each system."""
    return sorted(path.parent for path in FOLDER.glob("*/published.yaml"))


def texts() -> dict[Path, str]:
    """Return README file -> its generated part, of all that have one."""
    files = {FOLDER / "README.md": overview()}
    for folder in systems():
        if metrics := read_metrics(folder):
            table = importlib.import_module(f"experiments.{folder.name}.table")
            files[folder / "README.md"] = table.markdown(metrics)
    return files


def overview() -> str:
    """Return the one table over all systems."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for folder in systems():
        about, (date, duration) = read_published(folder), last_run(folder)
        link = f"[{about.system}]({folder.name}/README.md)"
        for row in about.rows:
            here = str(result_of(row, folder) or "not measured")
            published = f"{row.published} ({about.published_data})"
            cells = (
                link,
                about.data,
                row.model,
                row.metric,
                published,
                here,
                f"`{about.command}`",
                date,
                duration,
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def last_run(folder: Path) -> tuple[str, str]:
    """Return the date of the last training of a study, and how long all its trainings took.

    The record is in metrics.json and, of stages that train one model each, in the files of metrics/.
    """
    paths = [path for path in (folder / "metrics.json", *folder.glob("metrics/*.json")) if path.exists()]
    records = [json.loads(path.read_text(encoding="utf-8")).get("run", {}) for path in paths]
    dates = [record["date"] for record in records if record.get("date")]
    minutes = [record.get("minutes") for record in records]
    is_recorded = bool(minutes) and None not in minutes
    return max(dates, default=NOT_RECORDED), f"{sum(minutes):.0f} min" if is_recorded else NOT_RECORDED


def table() -> None:
    files = texts()
    for path, text in files.items():
        readme.replace_generated(path, text)
    print(f"table: wrote {len(files)} README files of {len(systems())} systems in {FOLDER.name}/")


if __name__ == "__main__":
    run(table)
