"""published.yaml: what was published of a system, and which of our results stands beside it.

A row is one metric. `here` is the place of our result in metrics.json, under `results`: keys from the outside
to the inside, and the `name` or the number of an entry of a list. Without it, or where the study has no such
result (one may run a smaller one), the row was not measured here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.config import read_section
from pipeline.config.fields import Section


class Row(Section):
    model: str = Field(min_length=1)  # what of the system is measured
    metric: str = Field(min_length=1)
    published: str = Field(min_length=1)
    here: list[str | int] | None = Field(default=None, min_length=1)
    key: str = "accuracy"  # of the metric in the result


class Published(Section):
    system: str = Field(min_length=1)
    source: str = Field(min_length=1)  # of the published results
    published_data: str = Field(min_length=1)
    data: str = Field(min_length=1)  # of our results
    command: str = Field(min_length=1)  # that makes our results
    rows: list[Row] = Field(min_length=1)


@dataclass(frozen=True)
class Result:
    """A metric as measured here: mean over seeds, 95% interval, number of test items, number of seeds."""

    value: float
    interval: tuple[float, float]
    n: int
    seeds: int

    def __str__(self) -> str:
        low, high = self.interval
        plural = "s" if self.seeds > 1 else ""
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]; {self.seeds} seed{plural}, n {self.n}"


def read_published(folder: Path) -> Published:
    return read_section(folder / "published.yaml", Published)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return metrics.json of a system; empty where it has no study."""
    path = folder / "metrics.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def result_of(row: Row, folder: Path) -> Result | None:
    """Return our result for a row; None where metrics.json has nothing at that place."""
    entry: Any = read_metrics(folder).get("results")
    try:
        for name in row.here or ():
            if isinstance(entry, list) and isinstance(name, str):
                entry = {each["name"]: each for each in entry}
            entry = entry[name]
        low, high = entry["ci"][row.key] if "ci" in entry else entry[f"{row.key}_ci"]
        seeds = entry["seeds"] if "seeds" in entry else entry[f"{row.key}_seeds"]
        return Result(entry[row.key], (low, high), entry["n"], len(seeds))
    except (KeyError, IndexError, TypeError):
        return None
