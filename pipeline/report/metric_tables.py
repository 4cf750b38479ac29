"""Metrics for the pages: tiles, tables, and the position of each value on its axis."""

import re
from typing import Any

from pipeline.report import classes as report_classes
from pipeline.report.galleries import DIRECTIONS, finite

NAMES = {
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
}
LOWER_IS_BETTER = {"ece", "eer", "min_dcf", "audio_mse", "video_mse"}


def get(tree: Any, *keys: str) -> Any:
    """Return the value at a path of keys in nested dicts; None if it does not exist."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def measure_of(section: dict, key: str) -> dict | None:
    """Return a metric with interval and chance, as text and as positions on the axis in %, or None."""
    value = finite(section.get(key))
    if value is None:
        return None
    ends = [finite(v) for v in get(section, "ci", key) or []]
    finite_ends = [v for v in ends if v is not None]
    ci = finite_ends if len(ends) == len(finite_ends) == 2 else None
    chance = finite(get(section, "chance", key))

    if key in LOWER_IS_BETTER:
        better = chance is None or (ci[1] if ci else value) < chance
    else:
        better = chance is None or (ci[0] if ci else value) > chance

    def percent(v: float) -> str:
        return f"{100 * min(1.0, max(0.0, v)):.2f}"

    return {
        "value": f"{value:.3f}",
        "ci": [f"{v:.3f}" for v in ci] if ci else None,
        "chance": f"{chance:.3f}" if chance is not None else None,
        "at": percent(value),
        "from": percent(ci[0]) if ci else None,
        "width": f"{max(0.0, float(percent(ci[1])) - float(percent(ci[0]))):.2f}" if ci else None,
        "chance_at": percent(chance) if chance is not None else None,
        "no_better": chance is not None and not better,
        "n": section.get("n"),
    }


def tiles(metrics: dict) -> list[dict]:
    """Return the (at most four) main metrics, each with a sentence."""
    classifier_tiles = [
        {**measure, "name": name, "text": text}
        for path, key, name, text in report_classes.TILES
        if (measure := measure_of(get(metrics, *path) or {}, key))
    ]
    if classifier_tiles:
        return classifier_tiles[:4]
    # a model of one modality has one direction
    across = "retrieval", next(iter(metrics.get("retrieval") or {"audio_to_video": None}))
    # recall at k means little if k is a large share of the clips: use the largest k with chance <= 0.5
    chances = {k: finite(get(metrics, *across, "chance", f"recall_{k}")) or 0.0 for k in (10, 5, 1)}
    k = next((k for k, chance in chances.items() if chance <= 0.5), 1)
    what = "The sound's picture is" if across[1] == "audio_to_video" else "A clip of the same label is"
    recall_text = f"{what} {'the nearest' if k == 1 else f'among the {k} nearest'}."
    specifications = [
        (
            ("correspondence",),
            "accuracy",
            "Pairs classified correctly",
            "Do this sound and this picture belong together?",
        ),
        (("correspondence",), "auc", "AUC", "How often a matching pair scores above another one."),
        (across, f"recall_{k}", f"Recall at {k}", recall_text),
        (across, "ndcg_30", "nDCG at 30", "Clips of the same label have high ranks."),
    ]
    tiles = []
    for path, key, name, text in specifications:
        measure = measure_of(get(metrics, *path) or {}, key)
        if measure:
            tiles.append({**measure, "name": name, "text": text})
    return tiles


def tables(metrics: dict) -> list[dict]:
    """Return a table for each section of `metrics`: correspondence, retrieval directions, then others."""
    sections = [
        (*texts, "", section)
        for path, texts in report_classes.SECTIONS.items()
        if (section := get(metrics, *path))
    ]
    if not sections:
        pairs = metrics.get("correspondence")
        sections = [("Correspondence", "Balanced pairs of a sound and a picture.", "", pairs)]
    for key, section in (metrics.get("retrieval") or {}).items():
        name, text = DIRECTIONS[key][2:] if key in DIRECTIONS else (key, "")
        sections.append((name, text, key, section))
    for key, section in metrics.items():
        if key not in (
            "correspondence",
            "retrieval",
            *(path[0] for path in report_classes.SECTIONS),
        ) and isinstance(section, dict):
            sections.append((key.replace("_", " ").capitalize(), "", "", section))
    names = NAMES | report_classes.NAMES if "classification" in metrics else NAMES
    filled_tables = []
    for name, text, direction, section in sections:
        rows = []
        for key in section or {}:
            if key in ("n", "ci", "chance") or key.startswith("n_"):
                continue
            if section[key] is not None and finite(section[key]) is None:
                continue
            label, meaning = _describe(key, direction, names)
            rows.append({"label": label, "meaning": meaning, "measure": measure_of(section, key)})
        if rows:
            has_values = any(row["measure"] for row in rows)
            filled_tables.append(
                {"name": name, "text": text, "n": section.get("n"), "rows": rows, "has_values": has_values}
            )
    return filled_tables


def _describe(key: str, direction: str, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Return name and meaning of a metric."""
    if match := re.fullmatch(r"recall_(\d+)", key):
        within = direction[:5] == direction[-5:]
        what = "a clip of the same label" if within else "the counterpart"
        rank = "is first" if match[1] == "1" else f"is among the first {match[1]}"
        return f"Recall@{match[1]}", f"{what} {rank}"
    return names.get(key, (key.replace("_", " "), ""))
