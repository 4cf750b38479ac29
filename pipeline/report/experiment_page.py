"""The self-contained page of an experiment: metrics, curves, galleries, data and parameters."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.report import charts, data_uri, page
from pipeline.report import classes as report_classes
from pipeline.report.data import FACELESS, ReportData
from pipeline.report.galleries import build_galleries, encode_clips, finite
from pipeline.report.metric_tables import NAMES, get, measure_of, tables, tiles
from pipeline.store.status import STATUSES

SPECTROGRAMS = 24
CLASSES = 30
CHARTS = 8
QUESTION = "What do things that make a sound look like?"  # the headline without a description


def build(data: ReportData, path: str | Path = "report/index.html") -> Path:
    """Write the page to `path` and return it. The same data give the same bytes.

    Raises ValueError if a picture, sound or spectrogram is not as ReportData documents it, or if a gallery
    contains a clip that is not in `clips`.
    """
    clips = encode_clips(data.galleries, data.clips)
    return page.write(
        path,
        "report.html",
        clips,
        question=data.description.get("question", QUESTION),
        summary=_summary(data),
        facts=_facts(data),
        tiles=tiles(data.metrics),
        tables=tables(data.metrics),
        curves=_curves(data.history),
        roc=_roc(data),
        classes=_classes(data.classes),
        stages=_stages(data.stages),
        faceless=_faceless(data.faceless),
        spectrograms=_spectrograms(data),
        galleries=build_galleries(data.galleries, clips),
        classifier=_classifier(data),
        localization=_localization(data),
        inpainting=data_uri.data_uri("image/jpeg", data.inpainting) if data.inpainting else None,
        embedding_map=_embedding_map(data.embedding_map),
        params=_flatten(data.params),
    )


def _summary(data: ReportData) -> str:
    """Return a sentence: the number of clips, their source, and the task's summary of the model."""
    total = data.stages[0]["total"] if data.stages else sum(data.classes.values())
    source = get(data.params, "data", "source")
    origin = {"ensemble": " of the synthetic ensemble", "folder": " of your videos"}.get(source or "")
    if origin is None:
        origin = f" of {source}" if source else ""
    text = f"{total:,} clips{origin}" if total else f"Clips{origin}"
    summary = data.description.get("summary")
    return f"{text}: {summary}." if summary else f"{text}."


def _facts(data: ReportData) -> list[tuple[str, str]]:
    sections = (("classification",), ("retrieval", "audio_to_video"))
    counts = [n for path in sections if (n := get(data.metrics, *path, "n")) is not None]
    facts = {
        "Source": get(data.params, "data", "source"),
        **data.description.get("facts", {}),
        "Test clips": next(iter(counts), None),
        "Seed": data.params.get("seed"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _curves(history: list[dict]) -> list[dict]:
    """Return a chart for each metric in the history, with training and validation together."""
    curves: dict[str, dict[str, charts.Points]] = {}  # metric -> split -> points
    x_key = next((k for k in ("epoch", "step") if any(finite(r.get(k)) is not None for r in history)), None)
    for number, row in enumerate(history):
        x = finite(row.get(x_key)) if x_key else number
        for key, value in row.items():
            y = finite(value)
            if x is None or y is None or key in ("epoch", "step", "time", "timestamp"):
                continue
            match = re.fullmatch(r"(train|val|test)(?:ing|idation)?[/_.](.+)", key)
            part, metric = match.groups() if match else ("value", key)
            curves.setdefault(metric, {}).setdefault(part, []).append((x, y))
    order = sorted(curves, key=lambda m: (("loss" not in m), ("acc" not in m), m))
    result = []
    for metric in order[:CHARTS]:
        part_order: tuple[str, ...] = ("train", "val", "test", "value")
        parts = {p: curves[metric][p] for p in part_order if p in curves[metric]}
        name = metric.replace("_", " ")
        last = ", ".join(f"{p} ends at {points[-1][1]:.3g}" for p, points in parts.items())
        svg = charts.lines(parts, f"{name} by {x_key or 'row'}: {last}", x_key or "row", name)
        legend = {"train": "training", "val": "validation", "test": "test", "value": name}
        result.append(
            {
                "name": NAMES.get(metric, (name.capitalize(),))[0],
                "svg": svg,
                "legend": [legend[p] for p in parts],
            }
        )
    return result


def _roc(data: ReportData) -> dict | None:
    values = [(finite(r.get("fpr")), finite(r.get("tpr"))) for r in data.roc]
    points = [(x, y) for x, y in values if x is not None and y is not None]
    if len(points) < 2:
        return None
    measure = measure_of(get(data.metrics, "correspondence") or {}, "auc")
    area = f"the area under it is {measure['value']}" if measure else "the area under it is unknown"
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    svg = charts.lines(
        {"roc": points},
        f"ROC curve: {area}",
        "false positive rate",
        "true positive rate",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )
    return {"svg": svg, "measure": measure}


def _classes(classes: dict[str, int]) -> dict | None:
    if not classes:
        return None
    ordered = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    largest = max(1, ordered[0][1])
    rows = [
        {"label": label, "count": n, "width": f"{100 * n / largest:.2f}"} for label, n in ordered[:CLASSES]
    ]
    rest = ordered[CLASSES:]
    return {"rows": rows, "rest": len(rest), "rest_clips": sum(n for _, n in rest), "total": len(ordered)}


def _stages(stages: list[dict]) -> list[dict]:
    """Add to each stage the width of its bar in %, and the descriptions of its statuses."""
    rows = []
    for stage in stages:
        total, ok = stage["total"], stage["ok"]
        reasons = sorted((stage.get("reasons") or {}).items(), key=lambda item: (-item[1], item[0]))
        reasons = [(status, n, STATUSES.get(status, "")) for status, n in reasons if n and status != "ok"]
        width = f"{100 * ok / total:.2f}" if total else "0"
        rows.append({"stage": stage["stage"], "total": total, "ok": ok, "width": width, "reasons": reasons})
    return rows


def _faceless(clips: list[dict]) -> dict:
    images = [{"id": c["clip_id"], "image": data_uri.jpeg(c["image"], 160)} for c in clips[:FACELESS]]
    return {"images": images, "total": len(clips)}


def _spectrograms(data: ReportData) -> dict:
    """Return a spectrogram for each class, frequent classes first."""
    labels = sorted(data.spectrograms, key=lambda label: (-data.classes.get(label, 0), label))
    images = [
        {"label": s, "image": data_uri.spectrogram(data.spectrograms[s])} for s in labels[:SPECTROGRAMS]
    ]
    return {"images": images, "total": len(labels)}


def _classifier(data: ReportData) -> dict | None:
    parts = {
        "confusion": report_classes.confusion(data.confusion),
        "calibration": report_classes.calibration(data.calibration),
        "classes": report_classes.classes(data.per_class),
    }
    return parts if any(parts.values()) else None


def _localization(data: ReportData) -> dict | None:
    """Return the localization metrics of both parts, and pictures with their maps and boxes (in %)."""
    parts = get(data.metrics, "localization") or {}
    rows = []
    for key, text in (("two_in_view", "two instruments in view"), ("all", "all clips")):
        part = parts.get(key)
        if part:
            predictors = [("the model", part), ("the centre of the frame", part.get("centre"))]
            predictors += [("the silent instrument", part.get("silent"))]
            for name, metrics in predictors:
                if metrics:
                    values = {k: (f"{metrics[k]:.3f}", metrics["ci"][k]) for k in ("pointing", "iou")}
                    rows.append({"clips": text, "n": part["n"], "name": name, **values})
    pictures = []
    for m in data.maps:
        kinds = (("box", "sounds"), ("silent_box", "silent"))
        frames = [(kind, [round(100 * x, 1) for x in m[name]]) for name, kind in kinds if m.get(name)]
        pictures.append(
            {"image": data_uri.heatmap(m["image"], np.array(m["map"])), "boxes": frames, "id": m["clip_id"]}
        )
    return {"rows": rows, "pictures": pictures} if rows or pictures else None


def _embedding_map(points: list[dict]) -> dict | None:
    """Return the scatter chart of embeddings and its legend. The most frequent classes have a colour each."""
    if not points:
        return None
    classes = [name for name, _ in Counter(p["label"] for p in points).most_common() if name]
    groups: dict[str, list] = {name: [] for name in classes[: charts.HUES]}
    other_points: list = []
    for p in points:
        text = f"{p['kind']}: {p['label'] or p['clip_id']} ({p['clip_id']})"
        group = groups.get(p["label"], other_points)
        group.append((p["x"], p["y"], "dot" if p["kind"] == "sound" else "box", text))
    legend = list(groups)
    svg = charts.scatter(groups, f"Map of {len(points)} embeddings, {len(classes)} classes")
    return {"svg": svg, "legend": legend, "left_out": len(other_points)}


def _flatten(tree: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested parameters as rows (dotted name, value)."""
    rows = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        rows += _flatten(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return rows
