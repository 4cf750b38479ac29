"""Write the files of the folder metrics/: JSON, and CSV that DVC can plot."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_json(values: Any, path: str | Path) -> None:
    """Write values, which JSON can represent, as an indented JSON file. Creates the folder if necessary."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)  # it may be a link into DVC's cache
    Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_table(rows: Sequence[dict], path: str | Path) -> None:
    """Write a CSV file. rows: values by the names of the columns; one row or more, with the same names."""
    write_csv([tuple(rows[0]), *(tuple(row.values()) for row in rows)], path)


def write_csv(rows: Iterable[Sequence], path: str | Path) -> None:
    """Write a CSV file. rows: first the names of the columns, then the values of each row."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)  # it may be a link into DVC's cache
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)
