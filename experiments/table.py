"""Write the generated parts of all README files of this folder, from published.yaml and metrics.json.

python -m experiments.table
"""

import importlib
import json
from pathlib import Path

from experiments import readme
from experiments.published import find_result, read_metrics, read_published
from pipeline.cli import run
from pipeline.config import ROOT

FOLDER = ROOT / "experiments"
COLUMNS = ("system", "data here", "model", "metric", "published", "here", "command", "when", "how long")
NOT_RECORDED = "not recorded"


def system_folders() -> list[Path]:
    """Return the folder of each published system, sorted by name."""
    return sorted(path.parent for path in FOLDER.glob("*/published.yaml"))


def generate_texts() -> dict[Path, str]:
    """Generate what the README files get: path of a README -> the text of its generated part."""
    texts = {FOLDER / "README.md": generate_overview()}
    for folder in system_folders():
        if metrics := read_metrics(folder):
            table = importlib.import_module(f"experiments.{folder.name}.table")
            texts[folder / "README.md"] = table.markdown(metrics)
    return texts


def generate_overview() -> str:
    """Return the table over all systems: a row for each published metric, with our result beside it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for folder in system_folders():
        system = read_published(folder)
        date, duration = last_run(folder)
        link = f"[{system.system}]({folder.name}/README.md)"
        for row in system.rows:
            cells = (
                link,
                system.data,
                row.model,
                row.metric,
                f"{row.published} ({system.published_data})",
                str(find_result(row, folder) or "not measured"),
                f"`{system.command}`",
                date,
                duration,
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def last_run(folder: Path) -> tuple[str, str]:
    """Return the date of the last training of a study, and how long all its trainings took, in minutes.

    Stopwatch recorded both: in metrics.json and, for stages that train one model each, in metrics/*.json.
    Both texts are "not recorded" if that is missing; the duration also if it is missing in one of the files.
    """
    paths = [path for path in (folder / "metrics.json", *folder.glob("metrics/*.json")) if path.exists()]
    records = [json.loads(path.read_text(encoding="utf-8")).get("run", {}) for path in paths]
    dates = [record["date"] for record in records if record.get("date")]
    minutes = [record.get("minutes") for record in records]
    is_recorded = bool(minutes) and None not in minutes
    return max(dates, default=NOT_RECORDED), f"{sum(minutes):.0f} min" if is_recorded else NOT_RECORDED


def table() -> None:
    """Write the generated parts of all README files."""
    texts = generate_texts()
    for path, text in texts.items():
        readme.replace_generated(path, text)
    print(f"table: wrote {len(texts)} README files of {len(system_folders())} systems in {FOLDER.name}/")


if __name__ == "__main__":
    run(table)
