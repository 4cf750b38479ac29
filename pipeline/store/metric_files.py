"""Write the files of metrics/: JSON, and CSV as DVC plots read it."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_json(values: Any, path: str | Path) -> None:
    """Write values as JSON, indented, in UTF-8."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)  # it may be a link into DVC's cache
    Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_table(rows: Sequence[dict], path: str | Path) -> None:
    """Write rows of named values as CSV. All rows have the names of the first one."""
    write_csv([tuple(rows[0]), *(tuple(row.values()) for row in rows)], path)


def write_csv(rows: Iterable[Sequence], path: str | Path) -> None:
    """Write rows as CSV, the header first, as DVC plots read them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)
