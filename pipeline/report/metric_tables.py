"""Metrics as the pages show them: tiles, tables, and where each value lies on its axis."""

import re
from typing import Any

from pipeline.report import classes as report_classes
from pipeline.report.galleries import DIRECTIONS, finite

NAMES = {
    "accuracy": ("Accuracy", "pairs judged right"),
    "auc": ("AUC", "a right pair scores above a wrong one"),
    "ndcg_30": ("nDCG@30", "the same kind stands high among the first 30"),
    "map": ("mAP", "the same kind, over the whole ranking"),
    "f1_macro": ("F1, macro", "mean over classes"),
    "top_5": ("Top 5", "the label is among the five likeliest"),
    "ece": ("ECE", "how far confidence is from accuracy; low is good"),
    "eer": ("EER", "errors where both kinds are equal; low is good"),
    "contrastive": ("Contrastive loss", ""),
    "contrastive_accuracy": ("Contrastive accuracy", "its own sound is the nearest of the batch's"),
    "audio_mse": ("Sound, filled in", "mean squared error on masked patches; low is good"),
    "video_mse": ("Picture, filled in", "mean squared error on masked patches; low is good"),
    "min_dcf": ("minDCF", "the detection cost at its best threshold, P = 0.05; low is good"),
}
LOW_IS_GOOD = {"ece", "eer", "min_dcf", "audio_mse", "video_mse"}


def get(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def measure_of(section: dict, key: str) -> dict | None:
    """One metric with all that belongs to it, its places on the axis in per cent; None without a value."""
    value = finite(section.get(key))
    if value is None:
        return None
    ends = [finite(v) for v in get(section, "ci", key) or []]
    known = [v for v in ends if v is not None]
    ci = known if len(ends) == len(known) == 2 else None
    chance = finite(get(section, "chance", key))

    if key in LOW_IS_GOOD:
        better = chance is None or (ci[1] if ci else value) < chance
    else:
        better = chance is None or (ci[0] if ci else value) > chance

    def place(v: float) -> str:
        return f"{100 * min(1.0, max(0.0, v)):.2f}"

    return {
        "value": f"{value:.3f}",
        "ci": [f"{v:.3f}" for v in ci] if ci else None,
        "chance": f"{chance:.3f}" if chance is not None else None,
        "at": place(value),
        "from": place(ci[0]) if ci else None,
        "width": f"{max(0.0, float(place(ci[1])) - float(place(ci[0]))):.2f}" if ci else None,
        "chance_at": place(chance) if chance is not None else None,
        "no_better": chance is not None and not better,
        "n": section.get("n"),
    }


def tiles(metrics: dict) -> list[dict]:
    """The four numbers to read first, each with a plain sentence."""
    found = [
        {**measure, "name": name, "text": text}
        for path, key, name, text in report_classes.TILES
        if (measure := measure_of(get(metrics, *path) or {}, key))
    ]
    if found:
        return found[:4]
    # one modality alone has one direction
    across = "retrieval", next(iter(metrics.get("retrieval") or {"audio_to_video": None}))
    # among few clips the ten nearest are nearly all of them, and finding the right one there says nothing
    guess = {k: finite(get(metrics, *across, "chance", f"recall_{k}")) or 0.0 for k in (10, 5, 1)}
    k = next((k for k, chance in guess.items() if chance <= 0.5), 1)
    what = "A sound's own picture is" if across[1] == "audio_to_video" else "One of the same kind is"
    recalled = f"{what} {'the nearest' if k == 1 else f'among the {k} nearest'}."
    wanted = [
        (("correspondence",), "accuracy", "Pairs judged right", "Does this sound belong to this picture?"),
        (("correspondence",), "auc", "AUC", "How often a true pair scores above a false one."),
        (across, f"recall_{k}", f"Recall at {k}", recalled),
        (across, "ndcg_30", "nDCG at 30", "Those of the same kind come first."),
    ]
    tiles = []
    for path, key, name, text in wanted:
        measure = measure_of(get(metrics, *path) or {}, key)
        if measure:
            tiles.append({**measure, "name": name, "text": text})
    return tiles


def tables(metrics: dict) -> list[dict]:
    """Every number in `metrics`, by section: correspondence, the retrieval directions, then any other."""
    sections = [
        (*told, "", section)
        for path, told in report_classes.SECTIONS.items()
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
    tables = []
    for name, text, direction, section in sections:
        rows = []
        for key in section or {}:
            if key in ("n", "ci", "chance") or key.startswith("n_"):
                continue
            if section[key] is not None and finite(section[key]) is None:
                continue
            label, meaning = _named(key, direction, names)
            rows.append({"label": label, "meaning": meaning, "measure": measure_of(section, key)})
        if rows:
            known = any(row["measure"] for row in rows)
            tables.append({"name": name, "text": text, "n": section.get("n"), "rows": rows, "known": known})
    return tables


def _named(key: str, direction: str, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
    if match := re.fullmatch(r"recall_(\d+)", key):
        within = direction[:5] == direction[-5:]
        what = "one of the same kind" if within else "its own counterpart"
        return f"Recall@{match[1]}", f"{what} among the first {match[1]}" if match[
            1
        ] != "1" else f"{what} comes first"
    return names.get(key, (key.replace("_", " "), ""))
