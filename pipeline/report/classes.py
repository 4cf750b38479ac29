"""The parts of the report about a classifier: tiles, confusion matrix, classes, calibration."""

from collections import Counter
from typing import Any

from pipeline.report import charts

MAX_CLASSES = 24  # of a confusion matrix; cells of more would be too small to read
SECTIONS = {  # path in metrics/evaluate.json -> name and description
    ("classification",): ("Classification", "The middle window of each test clip."),
    ("without", "audio"): ("Without sound", "The same clips with silence as sound."),
    ("without", "video"): ("Without pictures", "The same clips with black frames."),
    ("swapped",): ("The other modality", "The same network on the modality that it was not trained on."),
    ("verification", "audio"): ("Verification by sound", "Pairs of test clips of different videos."),
    ("verification", "video"): ("Verification by picture", "Pairs of test clips of different videos."),
    ("verification", "both"): ("Verification by both", "Pairs of test clips of different videos."),
}
NAMES = {  # metric -> name, meaning: where they differ from those of other tasks
    "accuracy": ("Accuracy", "clips whose label is predicted correctly"),
    "map": ("mAP", "average precision, mean over classes"),
}
TILES = (  # path in metrics/evaluate.json, metric, name, text
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


def confusion_matrix(predictions: list[dict]) -> dict[str, Any] | None:
    """Return the confusion matrix of the most frequent classes, at most MAX_CLASSES, frequent ones first.

    predictions: {"actual", "predicted"} of each clip.
    Returns {"names" of the classes, "rows", "left_out": number of the other classes}; None without clips. A
    row is {"name", "n": clips of this class, "cells": (count, % of the row) for each predicted class}.
    """
    if not predictions:
        return None
    class_sizes = Counter(clip["actual"] for clip in predictions)
    all_names = class_sizes.keys() | {clip["predicted"] for clip in predictions}
    by_frequency = sorted(all_names, key=lambda name: (-class_sizes[name], name))
    names = by_frequency[:MAX_CLASSES]
    counts = Counter((clip["actual"], clip["predicted"]) for clip in predictions)
    rows = []
    for actual in names:
        total = max(class_sizes[actual], 1)
        row_counts = [counts[actual, predicted] for predicted in names]
        cells = [(count, round(100 * count / total)) for count in row_counts]
        rows.append({"name": actual, "n": class_sizes[actual], "cells": cells})
    return {"names": names, "rows": rows, "left_out": len(by_frequency) - len(names)}


def calibration_chart(bins: list[dict]) -> str | None:
    """Draw the accuracy of predictions over their confidence as SVG; None for fewer than two bins.

    bins: {"confidence", "accuracy"} of each, as in metrics/calibration.csv.
    """
    points = [(float(row["confidence"]), float(row["accuracy"])) for row in bins]
    if len(points) < 2:
        return None
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    return charts.draw_lines(
        {"calibration": points},
        "Accuracy by confidence",
        "confidence",
        "accuracy",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )


def class_table(rows: list[dict]) -> list[dict[str, str]]:
    """Return the rows of metrics/per_class.csv as text for the page, frequent classes first.

    Returns {"name", "n", "f1", "ci", "precision", "recall", "ap"} for each class; a dash is an undefined
    value.
    """
    table = []
    for row in sorted(rows, key=lambda row: (-int(row["n"]), row["class"])):
        texts = {key: _as_text(row[key]) for key in ("f1", "precision", "recall", "ap")}
        has_interval = row["f1_low"] not in (None, "")
        interval = f"{_as_text(row['f1_low'])}–{_as_text(row['f1_high'])}" if has_interval else ""
        table.append({"name": row["class"], "n": row["n"], "ci": interval, **texts})
    return table


def _as_text(value: Any) -> str:
    """Return a number with three decimals; a dash for None or an empty text."""
    return f"{float(value):.3f}" if value not in (None, "") else "–"
