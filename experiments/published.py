"""published.yaml: what was published of a system, and which of our results stands beside it.

A row is one metric. `here` says where our result is in metrics.json, under `results`: a list of keys, from
the outermost to the innermost. For an entry of a list, the key is its number, or the value of its `name`.
Without `here`, or if there is no such result (as after a smaller run of the study), it is not measured here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.config import read_section
from pipeline.config.fields import Section


class Row(Section):
    """One published metric."""

    model: str = Field(min_length=1)  # which model of the system is measured
    metric: str = Field(min_length=1)
    published: str = Field(min_length=1)
    here: list[str | int] | None = Field(default=None, min_length=1)  # where our result is
    key: str = "accuracy"  # of the metric in our result


class Published(Section):
    """The content of published.yaml."""

    system: str = Field(min_length=1)
    source: str = Field(min_length=1)  # of the published results
    published_data: str = Field(min_length=1)
    data: str = Field(min_length=1)  # of our results
    command: str = Field(min_length=1)  # that makes our results
    rows: list[Row] = Field(min_length=1)


@dataclass(frozen=True)
class Result:
    """A metric as measured here."""

    value: float  # the mean over seeds
    interval: tuple[float, float]  # 95%
    n: int  # number of test clips or pairs
    n_seeds: int

    def __str__(self) -> str:
        """Return the text for a cell of the table."""
        low, high = self.interval
        plural = "s" if self.n_seeds > 1 else ""
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]; {self.n_seeds} seed{plural}, n {self.n}"


def read_published(folder: Path) -> Published:
    """Read published.yaml of a system. Raises UserError if it is wrong."""
    return read_section(folder / "published.yaml", Published)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the content of metrics.json of a system; empty if it has no study."""
    path = folder / "metrics.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def find_result(row: Row, folder: Path) -> Result | None:
    """Find our result for a row in metrics.json of a system; None if it is not there."""
    entry: Any = read_metrics(folder).get("results")
    try:
        for key in row.here or ():
            if isinstance(entry, list) and isinstance(key, str):
                entry = {item["name"]: item for item in entry}
            entry = entry[key]
        # Results have one of two formats: {"auc", "ci": {"auc"}, "seeds"} or {"auc", "auc_ci", "auc_seeds"}.
        low, high = entry["ci"][row.key] if "ci" in entry else entry[f"{row.key}_ci"]
        seeds = entry["seeds"] if "seeds" in entry else entry[f"{row.key}_seeds"]
        return Result(entry[row.key], (low, high), entry["n"], len(seeds))
    except (KeyError, IndexError, TypeError):  # a step of the way, or the metric itself, is not there
        return None
