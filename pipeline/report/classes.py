"""What the report shows of a classifier: tiles, confusion matrix, classes, calibration."""

from collections import Counter
from typing import Any

from pipeline.report import charts

CLASSES = 24  # of a confusion matrix; more are too small to read
SECTIONS = {  # in metrics/evaluate.json: name and what it is
    ("classification",): ("Classification", "Each test clip, by its middle window."),
    ("without", "audio"): ("Without sound", "The same clips, silent."),
    ("without", "video"): ("Without pictures", "The same clips, black."),
    ("swapped",): ("The other modality", "The same network, asked about what it was not trained on."),
    ("verification", "audio"): ("Is it one person? By voice", "Pairs of test clips of different videos."),
    ("verification", "video"): ("Is it one person? By picture", "Pairs of test clips of different videos."),
    ("verification", "both"): ("Is it one person? By both", "Pairs of test clips of different videos."),
}
NAMES = {
    "accuracy": ("Accuracy", "clips whose label is told right"),
    "map": ("mAP", "average precision, mean over classes"),
}
TILES = (
    (("classification",), "accuracy", "Accuracy", "Test clips whose label is told right."),
    (("classification",), "f1_macro", "F1, macro", "Every class counts alike."),
    (("classification",), "map", "mAP", "How far up the clips of a class stand, mean over classes."),
    (("classification",), "ece", "Calibration error", "How far confidence is from accuracy; low is good."),
    (("verification", "both"), "eer", "EER", "Errors in telling whether two clips are of one person."),
    (("verification", "audio"), "eer", "EER by voice", "Errors in telling whether two voices are one."),
    (("verification", "video"), "eer", "EER by picture", "Errors in telling whether two pictures show one."),
)


def confusion(rows: list[dict]) -> dict[str, Any] | None:
    """Rows {"actual", "predicted"} to a matrix whose cells have the share of their row, commonest first."""
    if not rows:
        return None
    actual = Counter(row["actual"] for row in rows)
    every = sorted(actual.keys() | {row["predicted"] for row in rows}, key=lambda c: (-actual[c], c))
    names = every[:CLASSES]
    counts = Counter((row["actual"], row["predicted"]) for row in rows)
    table = []
    for name in names:
        total = max(actual[name], 1)
        cells = [(counts[name, other], round(100 * counts[name, other] / total)) for other in names]
        table.append({"name": name, "n": actual[name], "cells": cells})
    return {"names": names, "rows": table, "left_out": len(every) - len(names)}


def calibration(rows: list[dict]) -> str | None:
    """Rows {"confidence", "accuracy"} to a chart, perfect calibration along the diagonal."""
    points = [(float(row["confidence"]), float(row["accuracy"])) for row in rows]
    if len(points) < 2:
        return None
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    return charts.lines(
        {"roc": points},
        "Accuracy by confidence",
        "how sure the model is",
        "how often it is right",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )


def classes(rows: list[dict]) -> list[dict[str, str]]:
    """metrics/per_class.csv for people: what is unknown is a dash."""

    def told(value: Any) -> str:
        return f"{float(value):.3f}" if value not in (None, "") else "–"

    return [
        {
            "name": row["class"],
            "n": row["n"],
            "f1": told(row["f1"]),
            "ci": f"{told(row['f1_low'])}–{told(row['f1_high'])}" if row["f1_low"] not in (None, "") else "",
            **{key: told(row[key]) for key in ("precision", "recall", "ap")},
        }
        for row in sorted(rows, key=lambda row: (-int(row["n"]), row["class"]))
    ]
