"""The self-contained page of an experiment: metrics, curves, galleries, data and parameters."""

import re
from collections import Counter
from pathlib import Path

from pipeline.report import charts, classes, data_uri, page
from pipeline.report.data import MAX_FACELESS, ReportData
from pipeline.report.galleries import build_galleries, encode_clips, to_finite_float
from pipeline.report.localization import prepare_localization
from pipeline.report.metric_tables import NAMES, describe_metric, get_nested, metric_tables, metric_tiles
from pipeline.report.quality import prepare_quality
from pipeline.store.status import OK, STATUSES

MAX_SPECTROGRAMS = 24
MAX_CLASSES = 30  # in the bar chart of class sizes
MAX_CURVES = 8  # charts of metrics by epoch
QUESTION = "What do things that make a sound look like?"  # the headline without a description
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}  # prefix in the history -> legend
NO_SPLIT = "value"  # stands for the split of a metric whose name has no prefix such as `train/`
NOT_CURVES = ("epoch", "step", "time", "timestamp")  # columns of the history that are no metrics


def write_report(data: ReportData, path: str | Path = "report/index.html") -> Path:
    """Write the page to `path` and return it. The same data give the same bytes.

    Raises ValueError if a picture, sound or spectrogram is not as ReportData documents it, or if a gallery
    contains a clip that is not in `clips`.
    """
    clips = encode_clips(data.galleries, data.clips)
    return page.write_page(
        path,
        "report.html",
        clips,
        question=data.description.get("question", QUESTION),
        summary=_summary(data),
        facts=_facts(data),
        tiles=metric_tiles(data.metrics),
        tables=metric_tables(data.metrics),
        curves=_curves(data.history),
        roc=_roc_chart(data),
        classes=_class_sizes(data.classes),
        stages=_stages(data.stages),
        quality=prepare_quality(data.quality),
        faceless=_faceless(data.faceless),
        spectrograms=_spectrograms(data),
        galleries=build_galleries(data.galleries, clips),
        classifier=_classifier(data),
        localization=prepare_localization(data),
        inpainting=data_uri.encode_data_uri("image/jpeg", data.inpainting) if data.inpainting else None,
        embedding_map=_embedding_map(data.embedding_map),
        params=_flatten(data.params),
    )


def _summary(data: ReportData) -> str:
    """Return a sentence: the number of clips, their source, and the task's summary of the model."""
    n_clips = data.stages[0]["total"] if data.stages else sum(data.classes.values())
    source = get_nested(data.params, "data", "source")
    origin = {"ensemble": " of the synthetic ensemble", "folder": " of your videos"}.get(source or "")
    if origin is None:
        origin = f" of {source}" if source else ""
    text = f"{n_clips:,} clips{origin}" if n_clips else f"Clips{origin}"
    summary = data.description.get("summary")
    return f"{text}: {summary}." if summary else f"{text}."


def _facts(data: ReportData) -> list[tuple[str, str]]:
    """Return (name, value) of what the head of the page lists: the source, the model, the clips, the seed."""
    n_test = get_nested(data.metrics, "classification", "n")
    if n_test is None:
        n_test = get_nested(data.metrics, "retrieval", "audio_to_video", "n")
    facts = {
        "Source": get_nested(data.params, "data", "source"),
        **data.description.get("facts", {}),
        "Test clips": n_test,
        "Seed": data.params.get("seed"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _curves(history: list[dict]) -> list[dict]:
    """Return {"name", "svg", "legend"} of a chart for each metric, with a line for each of its splits.

    history: a row per epoch; its keys are such as "epoch", "train/loss", "val/loss". At most MAX_CURVES
    charts, those of losses first, then those of accuracies.
    """
    x_key = _x_key(history)
    x_name = x_key or "row"
    curves = _points_by_metric(history, x_key)
    metrics = sorted(curves, key=lambda metric: ("loss" not in metric, "acc" not in metric, metric))
    charts_by_metric = []
    for metric in metrics[:MAX_CURVES]:
        points_by_split = curves[metric]
        splits = [split for split in (*SPLIT_NAMES, NO_SPLIT) if split in points_by_split]
        lines = {split: points_by_split[split] for split in splits}
        text = metric.replace("_", " ")
        last_values = ", ".join(f"{split} ends at {points[-1][1]:.3g}" for split, points in lines.items())
        svg = charts.draw_lines(lines, f"{text} by {x_name}: {last_values}", x_name, text)
        name, _ = NAMES.get(metric, (text.capitalize(), ""))
        legend = [SPLIT_NAMES.get(split, text) for split in lines]
        charts_by_metric.append({"name": name, "svg": svg, "legend": legend})
    return charts_by_metric


def _x_key(history: list[dict]) -> str | None:
    """Return the column that is the x axis of curves: "epoch", else "step"; None without either."""
    for key in ("epoch", "step"):
        if any(to_finite_float(row.get(key)) is not None for row in history):
            return key
    return None


def _points_by_metric(history: list[dict], x_key: str | None) -> dict[str, dict[str, charts.Points]]:
    """Return metric -> split (train, val, test or NO_SPLIT) -> points (x, value).

    x_key: the column of x; None: the number of the row.
    """
    curves: dict[str, dict[str, charts.Points]] = {}
    for row_number, row in enumerate(history):
        x = to_finite_float(row.get(x_key)) if x_key else row_number
        for key, text in row.items():
            value = to_finite_float(text)
            if x is None or value is None or key in NOT_CURVES:
                continue
            match = re.fullmatch(r"(train|val|test)(?:ing|idation)?[/_.](.+)", key)
            split, metric = match.groups() if match else (NO_SPLIT, key)
            curves.setdefault(metric, {}).setdefault(split, []).append((x, value))
    return curves


def _roc_chart(data: ReportData) -> dict | None:
    """Return {"svg", "measure": the AUC as of `describe_metric`}; None without an ROC curve."""
    rates = [(to_finite_float(row.get("fpr")), to_finite_float(row.get("tpr"))) for row in data.roc]
    points = [(fpr, tpr) for fpr, tpr in rates if fpr is not None and tpr is not None]
    if len(points) < 2:
        return None
    auc = describe_metric(get_nested(data.metrics, "correspondence") or {}, "auc")
    area = f"the area under it is {auc['value']}" if auc else "the area under it is unknown"
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    svg = charts.draw_lines(
        {"roc": points},
        f"ROC curve: {area}",
        "false positive rate",
        "true positive rate",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )
    return {"svg": svg, "measure": auc}


def _class_sizes(sizes: dict[str, int]) -> dict | None:
    """Return the bars of the most frequent classes, and the numbers of the others; None without classes.

    sizes: label -> number of clips. Returns {"rows": [{"label", "count", "width" in %}], "rest": other
    classes, "rest_clips": their clips, "total": classes}.
    """
    if not sizes:
        return None
    by_size = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    _, largest = by_size[0]
    rows = [
        {"label": label, "count": count, "width": f"{100 * count / max(1, largest):.2f}"}
        for label, count in by_size[:MAX_CLASSES]
    ]
    rest = by_size[MAX_CLASSES:]
    rest_clips = sum(count for _, count in rest)
    return {"rows": rows, "rest": len(rest), "rest_clips": rest_clips, "total": len(by_size)}


def _stages(stages: list[dict]) -> list[dict]:
    """Add to each stage the width of its bar in %, and the description of each status.

    stages: {"stage", "total", "ok", "reasons": {status: clips}}. Returns the same with "width", and with
    "reasons" as a list of (status, clips, description), the most frequent first.
    """
    rows = []
    for stage in stages:
        total, n_ok = stage["total"], stage["ok"]
        by_frequency = sorted((stage.get("reasons") or {}).items(), key=lambda item: (-item[1], item[0]))
        reasons = [
            (status, count, STATUSES.get(status, ""))
            for status, count in by_frequency
            if count and status != OK
        ]
        width = f"{100 * n_ok / total:.2f}" if total else "0"
        rows.append({"stage": stage["stage"], "total": total, "ok": n_ok, "width": width, "reasons": reasons})
    return rows


def _faceless(clips: list[dict]) -> dict:
    """Return {"images": [{"id", "image": a data URI}], "total": number of clips without a face}."""
    images = [
        {"id": clip["clip_id"], "image": data_uri.jpeg_uri(clip["image"], max_side=160)}
        for clip in clips[:MAX_FACELESS]
    ]
    return {"images": images, "total": len(clips)}


def _spectrograms(data: ReportData) -> dict:
    """Return {"images": [{"label", "image": a data URI}], "total": classes}, frequent classes first."""
    labels = sorted(data.spectrograms, key=lambda label: (-data.classes.get(label, 0), label))
    images = [
        {"label": label, "image": data_uri.spectrogram_uri(data.spectrograms[label])}
        for label in labels[:MAX_SPECTROGRAMS]
    ]
    return {"images": images, "total": len(labels)}


def _classifier(data: ReportData) -> dict | None:
    """Return {"confusion", "calibration", "classes"} for the template classes.html; None without them."""
    contents = {
        "confusion": classes.confusion_matrix(data.confusion),
        "calibration": classes.calibration_chart(data.calibration),
        "classes": classes.class_table(data.per_class),
    }
    return contents if any(contents.values()) else None


def _embedding_map(points: list[dict]) -> dict | None:
    """Return {"svg", "legend", "left_out"} of the map of embeddings; None without points.

    points: {"clip_id", "kind", "label", "x", "y"}. The most frequent classes have a colour each; "legend" has
    their names, and "left_out" is the number of the other points.
    """
    if not points:
        return None
    label_counts = Counter(point["label"] for point in points if point["label"])
    labels = [label for label, _ in label_counts.most_common()]
    groups: dict[str, list[charts.ScatterPoint]] = {label: [] for label in labels[: charts.HUES]}
    n_left_out = 0
    for point in points:
        if point["label"] not in groups:
            n_left_out += 1
            continue
        shape = "dot" if point["kind"] == "sound" else "box"
        tooltip = f"{point['kind']}: {point['label']} ({point['clip_id']})"
        groups[point["label"]].append(charts.ScatterPoint(point["x"], point["y"], shape, tooltip))
    svg = charts.draw_scatter(groups, f"Map of {len(points)} embeddings, {len(labels)} classes")
    return {"svg": svg, "legend": list(groups), "left_out": n_left_out}


def _flatten(params: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested parameters as rows (name, value), such as ("data.source", "folder").

    prefix: is put before the names.
    """
    rows = []
    for key, value in params.items():
        name = f"{prefix}{key}"
        rows += _flatten(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return rows
