"""Metrics for the pages: tiles, tables, and the position of each value on its axis."""

import re
from collections.abc import Iterable
from typing import Any

from pipeline.report import classes as report_classes
from pipeline.report.galleries import DIRECTIONS, to_finite_float

NAMES = {  # metric -> name, meaning
    "accuracy": ("Accuracy", "pairs classified correctly"),
    "auc": ("AUC", "a matching pair scores above another one"),
    "ndcg_30": ("nDCG@30", "clips of the same label have high ranks among the first 30"),
    "map": ("mAP", "clips of the same label have high ranks, over the whole ranking"),
    "f1_macro": ("F1, macro", "mean over classes"),
    "top_5": ("Top 5", "the label is among the five most probable"),
    "ece": ("ECE", "mean distance of confidence and accuracy; lower is better"),
    "eer": ("EER", "equal error rate; lower is better"),
    "contrastive": ("Contrastive loss", ""),
    "contrastive_accuracy": (
        "Contrastive accuracy",
        "the nearest sound of the batch is that of the same clip",
    ),
    "audio_mse": ("Sound, filled in", "mean squared error on masked patches; lower is better"),
    "video_mse": ("Picture, filled in", "mean squared error on masked patches; lower is better"),
    "min_dcf": ("minDCF", "minimum detection cost, P = 0.05; lower is better"),
    "min_dcf_normalized": ("minDCF, normalized", "divided by P; lower is better"),
    "median_rank": ("Median rank", "of the counterpart, from 1; lower is better"),
    "event_accuracy": ("Accuracy in events", "of the seconds in which the event is"),
    "hit_rate_1": ("Hit rate", "the most probable class is one of the clip's"),
    "ciou": ("cIoU", "share of clips with an overlap of at least the protocol's threshold"),
    "mu_audio": ("Confusion by pictures", "right by sound alone, wrong by both; lower is better"),
    "mu_video": ("Confusion by sound", "right by picture alone, wrong by both; lower is better"),
    "mu_both": ("Confusion by both", "right by each alone, wrong by both; lower is better"),
}
PROTOCOL_NAMES = {  # where they differ in protocols
    "map": ("mAP", "average precision, mean over classes"),
    "accuracy": ("Accuracy", "of the seconds"),
    "min_dcf": ("minDCF", "minimum detection cost, P = 0.01, not divided by P; lower is better"),
}
PROTOCOL = "Protocol "  # the beginning of the names of tables about protocols
MAX_TILES = 4
LOWER_IS_BETTER = {"ece", "eer", "min_dcf", "min_dcf_normalized", "median_rank", "audio_mse", "video_mse"}


def get_nested(tree: Any, *keys: str) -> Any:
    """Return the value at a path of keys in nested dicts; None if it does not exist."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def describe_metric(section: dict, metric: str) -> dict | None:
    """Return a metric as text, and where its marks are on an axis from 0 to 1, in %; None if it has no value.

    section: {metric: value, "ci": {metric: [low, high]}, "chance": {metric: value}, "n"}.
    Returns {"value", "ci", "chance", "n"} and "at" (of the value), "from" and "width" (of the interval),
    "chance_at", "no_better": whether the metric is not significantly better than chance. What is unknown is
    None.
    """
    value = to_finite_float(section.get(metric))
    if value is None:
        return None
    ends = [to_finite_float(end) for end in get_nested(section, "ci", metric) or []]
    finite_ends = [end for end in ends if end is not None]
    interval = finite_ends if len(ends) == len(finite_ends) == 2 else None
    chance = to_finite_float(get_nested(section, "chance", metric))
    low, high = interval or (value, value)
    if chance is None:
        is_no_better = False
    elif metric in LOWER_IS_BETTER:
        is_no_better = not high < chance
    else:
        is_no_better = not low > chance
    description: dict[str, Any] = {
        "value": f"{value:.3f}",
        "ci": None,
        "chance": f"{chance:.3f}" if chance is not None else None,
        "at": _to_percent(value),
        "from": None,
        "width": None,
        "chance_at": _to_percent(chance) if chance is not None else None,
        "no_better": is_no_better,
        "n": section.get("n"),
    }
    if interval:
        description["ci"] = [f"{low:.3f}", f"{high:.3f}"]
        description["from"] = _to_percent(low)
        description["width"] = f"{max(0.0, float(_to_percent(high)) - float(_to_percent(low))):.2f}"
    return description


def _to_percent(value: float) -> str:
    """Return the position of a value on an axis from 0 to 1, in %; values outside are moved to its ends."""
    return f"{100 * min(1.0, max(0.0, value)):.2f}"


def metric_tiles(metrics: dict) -> list[dict]:
    """Return the main metrics, at most MAX_TILES: each as of `describe_metric`, with "name" and "text".

    metrics: as in metrics/evaluate.json.
    """
    classifier_tiles = _tiles(metrics, report_classes.TILES)
    if classifier_tiles:
        return classifier_tiles[:MAX_TILES]
    # A model of one modality has one direction; of the others, sound to picture is the main one.
    direction = next(iter(metrics.get("retrieval") or {"audio_to_video": None}))
    path = ("retrieval", direction)
    k = _informative_k(get_nested(metrics, *path) or {})
    subject = "The sound's picture is" if direction == "audio_to_video" else "A clip of the same label is"
    recall_text = f"{subject} {'the nearest' if k == 1 else f'among the {k} nearest'}."
    specifications = (
        (
            ("correspondence",),
            "accuracy",
            "Pairs classified correctly",
            "Do this sound and this picture belong together?",
        ),
        (("correspondence",), "auc", "AUC", "How often a matching pair scores above another one."),
        (path, f"recall_{k}", f"Recall at {k}", recall_text),
        (path, "ndcg_30", "nDCG at 30", "Clips of the same label have high ranks."),
    )
    return _tiles(metrics, specifications)


def _tiles(metrics: dict, specifications: Iterable[tuple[tuple[str, ...], str, str, str]]) -> list[dict]:
    """Return the tiles of the metrics that have a value.

    specifications: (path of the section in `metrics`, metric, name, text) of each tile.
    """
    tiles = []
    for path, metric, name, text in specifications:
        description = describe_metric(get_nested(metrics, *path) or {}, metric)
        if description:
            tiles.append({**description, "name": name, "text": text})
    return tiles


def _informative_k(section: dict) -> int:
    """Return the largest k whose recall at k is at most one half by chance; 1 if there is none.

    With few clips recall at a larger k means little. section: the metrics of one direction of retrieval.
    """
    for k in (10, 5, 1):
        chance = to_finite_float(get_nested(section, "chance", f"recall_{k}")) or 0.0
        if chance <= 0.5:
            return k
    return 1


def metric_tables(metrics: dict) -> list[dict]:
    """Return the tables of all metrics: {"name", "text", "n", "rows", "has_values"} for each section.

    metrics: as in metrics/evaluate.json. A row is {"label", "meaning", "measure": as of `describe_metric`, or
    None}. Correspondence or classification comes first, then the directions of retrieval, then the others.
    """
    names = NAMES | report_classes.NAMES if "classification" in metrics else NAMES
    tables = []
    for name, text, direction, section in _sections(metrics):
        rows = []
        for metric in section or {}:
            if metric in ("n", "ci", "chance") or metric.startswith("n_"):
                continue
            if section[metric] is not None and to_finite_float(section[metric]) is None:
                continue  # not a number
            label, meaning = _name_and_meaning(
                metric, direction, names | PROTOCOL_NAMES if name.startswith(PROTOCOL) else names
            )
            rows.append({"label": label, "meaning": meaning, "measure": describe_metric(section, metric)})
        if rows:
            has_values = any(row["measure"] for row in rows)
            tables.append(
                {"name": name, "text": text, "n": section.get("n"), "rows": rows, "has_values": has_values}
            )
    return tables


def _sections(metrics: dict) -> list[tuple[str, str, str, dict]]:
    """Return (name, text, direction of retrieval or "", metrics) of each section, in their order."""
    sections = []
    for path, (name, text) in report_classes.SECTIONS.items():
        section = get_nested(metrics, *path)
        if section:
            sections.append((name, text, "", section))
    if not sections:
        pairs = metrics.get("correspondence")
        sections = [("Correspondence", "Balanced pairs of a sound and a picture.", "", pairs)]
    for key, section in (metrics.get("retrieval") or {}).items():
        direction = DIRECTIONS.get(key)
        name, text = (direction.name, direction.description) if direction else (key, "")
        sections.append((name, text, key, section))
    # Localization has a section of its own on the page.
    sections_of_their_own = {path[0] for path in report_classes.SECTIONS}
    listed = {"correspondence", "retrieval", "localization", "protocol", *sections_of_their_own}
    for key, section in metrics.items():
        if key in listed or not isinstance(section, dict):
            continue
        parts = (
            {key: section} if "n" in section else {f"{key} {name}": part for name, part in section.items()}
        )
        sections += [(name.replace("_", " ").capitalize(), "", "", part) for name, part in parts.items()]
    for name, protocol in (metrics.get("protocol") or {}).items():
        sections += _protocol_sections(name, protocol)
    return sections


def _protocol_sections(name: str, protocol: dict) -> list[tuple[str, str, str, dict]]:
    """Return what `_sections` does for one protocol, whose metrics may be in several sections."""
    parts = {key: part for key, part in protocol.items() if isinstance(part, dict) and "ci" in part}
    if "ci" in protocol:
        parts = {"": protocol} | parts
    if protocol.get("clips") == "published":
        n_listed, n_missing = protocol.get("n_listed", 0), protocol.get("n_missing", 0)
        text = f"{n_listed - n_missing} of the {n_listed} published clips."
        if protocol.get("n_training"):
            text += f" {protocol['n_training']} of them were learnt from."
    else:
        text = "The clips of the test split, not those of the published list."
    title = PROTOCOL + name
    return [
        (": ".join(filter(None, (title, key.replace("_", " ")))), text, key if "_to_" in key else "", part)
        for key, part in parts.items()
    ]


def _name_and_meaning(metric: str, direction: str, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Return how the page calls a metric, and what it means.

    direction: of retrieval, such as "audio_to_video"; empty for other metrics. names: metric -> both.
    """
    if match := re.fullmatch(r"recall_(\d+)", metric):
        k = match[1]
        source, _, target = direction.partition("_to_")
        what = "a clip of the same label" if source == target else "the counterpart"
        rank = "is first" if k == "1" else f"is among the first {k}"
        return f"Recall@{k}", f"{what} {rank}"
    if match := re.fullmatch(r"precision_(\d+)", metric):
        return f"Precision@{match[1]}", f"share of the first {match[1]} that have the same label"
    return names.get(metric, (metric.replace("_", " "), ""))
