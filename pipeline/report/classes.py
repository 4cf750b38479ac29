"""The parts of the report about a classifier: tiles, confusion matrix, classes, calibration."""

from collections import Counter
from typing import Any

from pipeline.report import charts

CLASSES = 24  # of a confusion matrix; cells of more would be too small to read
SECTIONS = {  # path in metrics/evaluate.json -> name and description
    ("classification",): ("Classification", "The middle window of each test clip."),
    ("without", "audio"): ("Without sound", "The same clips with silence as sound."),
    ("without", "video"): ("Without pictures", "The same clips with black frames."),
    ("swapped",): ("The other modality", "The same network on the modality that it was not trained on."),
    ("verification", "audio"): ("Verification by sound", "Pairs of test clips of different videos."),
    ("verification", "video"): ("Verification by picture", "Pairs of test clips of different videos."),
    ("verification", "both"): ("Verification by both", "Pairs of test clips of different videos."),
}
NAMES = {
    "accuracy": ("Accuracy", "clips whose label is predicted correctly"),
    "map": ("mAP", "average precision, mean over classes"),
}
TILES = (
    (("classification",), "accuracy", "Accuracy", "Test clips whose label is predicted correctly."),
    (("classification",), "f1_macro", "F1, macro", "Mean over classes of the F1 score."),
    (("classification",), "map", "mAP", "Average precision, mean over classes."),
    (
        ("classification",),
        "ece",
        "Calibration error",
        "Mean distance of confidence and accuracy; lower is better.",
    ),
    (("verification", "both"), "eer", "EER", "Equal error rate: are two clips of the same person?"),
    (
        ("verification", "audio"),
        "eer",
        "EER by voice",
        "Equal error rate: are two voices of the same person?",
    ),
    (
        ("verification", "video"),
        "eer",
        "EER by picture",
        "Equal error rate: do two pictures show the same person?",
    ),
)


def confusion(rows: list[dict]) -> dict[str, Any] | None:
    """Return a confusion matrix with counts and shares of each row in %, frequent classes first.

    rows: {"actual", "predicted"} of each clip. Returns None without rows.
    """
    if not rows:
        return None
    actual = Counter(row["actual"] for row in rows)
    classes = sorted(actual.keys() | {row["predicted"] for row in rows}, key=lambda c: (-actual[c], c))
    names = classes[:CLASSES]
    counts = Counter((row["actual"], row["predicted"]) for row in rows)
    table = []
    for name in names:
        total = max(actual[name], 1)
        cells = [(counts[name, column], round(100 * counts[name, column] / total)) for column in names]
        table.append({"name": name, "n": actual[name], "cells": cells})
    return {"names": names, "rows": table, "left_out": len(classes) - len(names)}


def calibration(rows: list[dict]) -> str | None:
    """Return a reliability diagram of rows {"confidence", "accuracy"}; None for fewer than two rows."""
    points = [(float(row["confidence"]), float(row["accuracy"])) for row in rows]
    if len(points) < 2:
        return None
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    return charts.lines(
        {"roc": points},
        "Accuracy by confidence",
        "confidence",
        "accuracy",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )


def classes(rows: list[dict]) -> list[dict[str, str]]:
    """Return the rows of metrics/per_class.csv as text, a dash for undefined values."""

    def as_text(value: Any) -> str:
        return f"{float(value):.3f}" if value not in (None, "") else "–"

    return [
        {
            "name": row["class"],
            "n": row["n"],
            "f1": as_text(row["f1"]),
            "ci": f"{as_text(row['f1_low'])}–{as_text(row['f1_high'])}"
            if row["f1_low"] not in (None, "")
            else "",
            **{key: as_text(row[key]) for key in ("precision", "recall", "ap")},
        }
        for row in sorted(rows, key=lambda row: (-int(row["n"]), row["class"]))
    ]
