"""The section of the page about sound localization."""

from typing import Any

import numpy as np

from pipeline.report import data_uri
from pipeline.report.data import ReportData
from pipeline.report.metric_tables import get_nested

PREDICTORS = {  # key of a baseline in the metrics -> its name; "": the model
    "": "the model",
    "centre": "the centre of the frame",
    "object": "an object, without the sound",
    "silent": "the silent instrument",
}
# Path of a metric in a section -> heading of its column. All are shares.
BOX_COLUMNS = {("pointing",): "Peak in the box", ("iou",): "IoU, mean size known"}
THRESHOLD_COLUMNS = {
    ("overlap",): "IoU",
    ("ciou_adaptive",): "cIoU, size known",
    ("silence", "points"): "Points at silence",
    ("noise", "points"): "at noise",
    ("off_screen", "points"): "off screen",
    ("agreement", "sound_off_screen"): "Same map off screen",
    ("f",): "F",
}
NO_SOURCE_COLUMNS = {("points",): "Points somewhere", ("pia",): "Share of the picture"}


def prepare_localization(data: ReportData) -> dict | None:
    """Return the metrics of localization, and pictures with their maps and boxes; None without both.

    Returns {"tables": [{"text", "columns", "rows": [{"clips", "n", "name", "cells"}]}], "pictures": [{"id",
    "image", "boxes"}]}. A cell is (value, interval) or None, a box (its kind, [left, top, right, bottom] in
    %).
    """
    sections = get_nested(data.metrics, "localization") or {}
    no_source = sections.get("no_source") or {}
    groups: list[tuple[str, dict, list[tuple[str, dict | None]]]] = [
        (
            "",
            BOX_COLUMNS,
            [("two instruments in view", sections.get("two_in_view")), ("all clips", sections.get("all"))],
        ),
        (
            "One threshold for all pictures, from validation pictures with sounds that nothing in them makes."
            " A model that does not listen has the same map for every sound.",
            THRESHOLD_COLUMNS,
            [("one instrument in view", sections.get("one_threshold"))],
        ),
        (
            "Clips in which nothing in view sounds: 0 is best.",
            NO_SOURCE_COLUMNS,
            [("silent", no_source.get("silent")), ("sound off screen", no_source.get("off_screen"))],
        ),
    ]
    tables = [
        {"text": text, "columns": list(columns.values()), "rows": rows}
        for text, columns, parts in groups
        if (rows := [row for name, section in parts for row in _rows(name, section, columns)])
    ]
    pictures = [_picture(entry) for entry in data.maps]
    return {"tables": tables, "pictures": pictures} if tables or pictures else None


def _rows(clips: str, section: dict | None, columns: dict[tuple[str, ...], str]) -> list[dict]:
    """Return a row for the model and for each baseline. section: the metrics of some clips; None: no rows."""
    rows = []
    for key, name in PREDICTORS.items():
        metrics = section.get(key) if section and key else section
        if metrics:
            cells = [_cell(metrics, path) for path in columns]
            rows.append({"clips": clips, "n": metrics["n"], "name": name, "cells": cells})
    return rows


def _cell(metrics: dict, path: tuple[str, ...]) -> tuple[str, Any] | None:
    """Return a metric and its interval; None if a baseline lacks it."""
    *parents, name = path
    section = get_nested(metrics, *parents)
    value = get_nested(section, name)
    return None if value is None else (f"{value:.3f}", get_nested(section, "ci", name))


def _picture(entry: dict) -> dict:
    """Return the picture of an entry of metrics/maps.json, with its map over it, and its boxes."""
    boxes = []
    for key, css_class in (("box", "sounds"), ("silent_box", "silent")):
        if entry.get(key):
            boxes.append((css_class, [round(100 * edge, 1) for edge in entry[key]]))
    image = data_uri.heatmap_uri(entry["image"], np.array(entry["map"]))
    return {"image": image, "boxes": boxes, "id": entry["clip_id"]}
