"""One self-contained page that shows an experiment: its numbers, its curves, its clips to see and hear."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.report import charts, data_uri, page
from pipeline.report import classes as report_classes
from pipeline.store.status import STATUSES

SOUND_BYTES = 1_500_000  # all MP3s together; with base64 and pictures the page stays under 3 MB
LONGEST = 4.0  # seconds of one sound
SPECTROGRAMS = 24
CLASSES = 30
CHARTS = 8
FACELESS = 24  # frames without a face
QUESTION = "What do things that make a sound look like?"  # the headline where there is no description

DIRECTIONS = {
    "audio_to_video": (
        "sound",
        "picture",
        "Sound to picture",
        "Asked with a sound: which pictures go with it?",
    ),
    "video_to_audio": (
        "picture",
        "sound",
        "Picture to sound",
        "Asked with a picture: what does it sound like?",
    ),
    "audio_to_audio": ("sound", "sound", "Sound to sound", "Asked with a sound: what else sounds like it?"),
    "video_to_video": (
        "picture",
        "picture",
        "Picture to picture",
        "Asked with a picture: what else looks like it?",
    ),
}
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


@dataclass
class ReportData:
    """What the page shows; anything may be missing and is then left out or said to be missing.

    params: as in params.yaml. metrics: as in metrics/evaluate.json. description: of the model, by its task, as
    in metrics/description.json: "question", "summary" and "facts" are shown. history: a row an epoch, "epoch" (or
    "step") and any "train/loss", "val/accuracy", ... roc: rows {"fpr", "tpr"}. classes: label -> clips.
    accounts: in order {"stage", "total", "ok", "reasons": {status: clips}}. spectrograms: label -> (F, T).
    clips: clip_id -> {"labels": list, "image": (H, W, 3) uint8 or None, "wav": bytes or None}; only
    those that a gallery shows are put on the page. galleries: direction -> [{"query": clip_id, "results":
    [{"clip_id", "score", "relevant": bool or None}]}], nearest first. maps: as in metrics/maps.json, each
    with its "image". neighbours: as of pipeline.report.tsne.flat. per_class, confusion, calibration:
    rows of these tables under metrics/. faceless: {"clip_id", "image"} of frames in which no face was found.
    inpainting: a JPEG of what a masked autoencoder filled in.
    """

    params: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    description: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    roc: list[dict] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    accounts: list[dict] = field(default_factory=list)
    spectrograms: dict[str, np.ndarray] = field(default_factory=dict)
    clips: dict[str, dict] = field(default_factory=dict)
    galleries: dict[str, list[dict]] = field(default_factory=dict)
    maps: list[dict] = field(default_factory=list)
    neighbours: list[dict] = field(default_factory=list)
    per_class: list[dict] = field(default_factory=list)
    confusion: list[dict] = field(default_factory=list)
    calibration: list[dict] = field(default_factory=list)
    faceless: list[dict] = field(default_factory=list)
    inpainting: bytes | None = None


def build(data: ReportData, path: str | Path = "report/index.html") -> Path:
    """Write the page to `path` and return it. The same data give the same bytes.

    Raises ValueError where a picture, sound or spectrogram is not what ReportData says, or a gallery names a
    clip that is not in `clips`.
    """
    clips = shown_clips(data.galleries, data.clips)
    return page.write(
        path,
        "report.html",
        clips,
        question=data.description.get("question", QUESTION),
        summary=_summary(data),
        facts=_facts(data),
        tiles=_tiles(data.metrics),
        tables=_tables(data.metrics),
        curves=_curves(data.history),
        roc=_roc(data),
        classes=_classes(data.classes),
        accounts=_accounts(data.accounts),
        faceless=_faceless(data.faceless),
        spectrograms=_spectrograms(data),
        galleries=shown_galleries(data.galleries, clips),
        classified=_classified(data),
        places=_places(data),
        inpainting=data_uri.data_uri("image/jpeg", data.inpainting) if data.inpainting else None,
        neighbours=_neighbours(data.neighbours),
        params=_flat(data.params),
    )


def _get(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _number(value: Any) -> float | None:
    """`value` as a finite float; None for anything else (histories read from files hold text)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _summary(data: ReportData) -> str:
    """How many clips of what, and what the task says of the model."""
    total = data.accounts[0]["total"] if data.accounts else sum(data.classes.values())
    source = _get(data.params, "data", "source")
    where = {"ensemble": " of the embedded ensemble", "folder": " of your own videos"}.get(source or "")
    if where is None:
        where = f" of {source}" if source else ""
    text = f"{total:,} clips{where}" if total else f"Clips{where}"
    summary = data.description.get("summary")
    return f"{text}: {summary}." if summary else f"{text}."


def _facts(data: ReportData) -> list[tuple[str, str]]:
    sections = (("classification",), ("retrieval", "audio_to_video"))
    counts = [n for path in sections if (n := _get(data.metrics, *path, "n")) is not None]
    facts = {
        "Source": _get(data.params, "data", "source"),
        **data.description.get("facts", {}),
        "Test clips": next(iter(counts), None),
        "Seed": data.params.get("seed"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _measure(section: dict, key: str) -> dict | None:
    """One metric with all that belongs to it, its places on the axis in per cent; None without a value."""
    value = _number(section.get(key))
    if value is None:
        return None
    ends = [_number(v) for v in _get(section, "ci", key) or []]
    known = [v for v in ends if v is not None]
    ci = known if len(ends) == len(known) == 2 else None
    chance = _number(_get(section, "chance", key))

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


def _tiles(metrics: dict) -> list[dict]:
    """The four numbers to read first, each with a plain sentence."""
    found = [
        {**measure, "name": name, "text": text}
        for path, key, name, text in report_classes.TILES
        if (measure := _measure(_get(metrics, *path) or {}, key))
    ]
    if found:
        return found[:4]
    # one modality alone has one direction
    across = "retrieval", next(iter(metrics.get("retrieval") or {"audio_to_video": None}))
    # among few clips the ten nearest are nearly all of them, and finding the right one there says nothing
    guess = {k: _number(_get(metrics, *across, "chance", f"recall_{k}")) or 0.0 for k in (10, 5, 1)}
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
        measure = _measure(_get(metrics, *path) or {}, key)
        if measure:
            tiles.append({**measure, "name": name, "text": text})
    return tiles


def _tables(metrics: dict) -> list[dict]:
    """Every number in `metrics`, by section: correspondence, the retrieval directions, then any other."""
    sections = [
        (*told, "", section)
        for path, told in report_classes.SECTIONS.items()
        if (section := _get(metrics, *path))
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
            if section[key] is not None and _number(section[key]) is None:
                continue
            label, meaning = _named(key, direction, names)
            rows.append({"label": label, "meaning": meaning, "measure": _measure(section, key)})
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


def _curves(history: list[dict]) -> list[dict]:
    """A chart for each metric in the history, training and validation in one."""
    found: dict[str, dict[str, charts.Points]] = {}
    x_key = next((k for k in ("epoch", "step") if any(_number(r.get(k)) is not None for r in history)), None)
    for number, row in enumerate(history):
        x = _number(row.get(x_key)) if x_key else number
        for key, value in row.items():
            y = _number(value)
            if x is None or y is None or key in ("epoch", "step", "time", "timestamp"):
                continue
            match = re.fullmatch(r"(train|val|test)(?:ing|idation)?[/_.](.+)", key)
            part, metric = match.groups() if match else ("value", key)
            found.setdefault(metric, {}).setdefault(part, []).append((x, y))
    order = sorted(found, key=lambda m: (("loss" not in m), ("acc" not in m), m))
    result = []
    for metric in order[:CHARTS]:
        order_of: tuple[str, ...] = ("train", "val", "test", "value")
        parts = {p: found[metric][p] for p in order_of if p in found[metric]}
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
    places = [(_number(r.get("fpr")), _number(r.get("tpr"))) for r in data.roc]
    points = [(x, y) for x, y in places if x is not None and y is not None]
    if len(points) < 2:
        return None
    measure = _measure(_get(data.metrics, "correspondence") or {}, "auc")
    area = f"the area under it is {measure['value']}" if measure else "the area under it is not known"
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    svg = charts.lines(
        {"roc": points},
        f"ROC curve: {area}",
        "false pairs taken for true",
        "true pairs found",
        x_ticks=fifths,
        y_ticks=fifths,
        diagonal=True,
    )
    return {"svg": svg, "measure": measure}


def _classes(classes: dict[str, int]) -> dict | None:
    if not classes:
        return None
    ordered = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    most = max(1, ordered[0][1])
    rows = [{"label": label, "count": n, "width": f"{100 * n / most:.2f}"} for label, n in ordered[:CLASSES]]
    rest = ordered[CLASSES:]
    return {"rows": rows, "rest": len(rest), "rest_clips": sum(n for _, n in rest), "total": len(ordered)}


def _accounts(accounts: list[dict]) -> list[dict]:
    rows = []
    for account in accounts:
        total, ok = account["total"], account["ok"]
        reasons = sorted((account.get("reasons") or {}).items(), key=lambda item: (-item[1], item[0]))
        reasons = [(status, n, STATUSES.get(status, "")) for status, n in reasons if n and status != "ok"]
        width = f"{100 * ok / total:.2f}" if total else "0"
        rows.append({"stage": account["stage"], "total": total, "ok": ok, "width": width, "reasons": reasons})
    return rows


def _faceless(clips: list[dict]) -> dict:
    shown = [{"id": c["clip_id"], "image": data_uri.jpeg(c["image"], 160)} for c in clips[:FACELESS]]
    return {"shown": shown, "total": len(clips)}


def _spectrograms(data: ReportData) -> dict:
    """By class, the most frequent first."""
    labels = sorted(data.spectrograms, key=lambda label: (-data.classes.get(label, 0), label))
    shown = [{"label": s, "image": data_uri.spectrogram(data.spectrograms[s])} for s in labels[:SPECTROGRAMS]]
    return {"shown": shown, "total": len(labels)}


def shown_clips(galleries: dict[str, list[dict]], known: dict[str, dict]) -> dict[str, dict]:
    """The clips that the galleries show, each encoded once, under a short key of its own."""
    wanted: dict[str, None] = {}
    for rows in galleries.values():
        for row in rows:
            for clip_id in (row["query"], *(r["clip_id"] for r in row["results"])):
                if clip_id not in known:
                    raise ValueError(f"a gallery shows clip {clip_id!r}, which is not among the clips")
                wanted[clip_id] = None
    heard = sum(known[c].get("wav") is not None for c in wanted)
    seconds = min(LONGEST, max(1.0, SOUND_BYTES / max(1, heard) / (data_uri.MP3_BITS / 8)))
    result = {}
    for number, clip_id in enumerate(wanted):
        clip = known[clip_id]
        image, wav = clip.get("image"), clip.get("wav")
        row = {
            "key": f"c{number}",
            "id": clip_id,
            "name": " · ".join(clip.get("labels") or []) or clip_id,
            "image": None,
            "aspect": None,
            "sound": None,
            "wave": None,
        }
        try:
            if image is not None:
                row["image"] = data_uri.jpeg(image)
                row["aspect"] = round(min(1.78, max(0.75, image.shape[1] / image.shape[0])), 3)
            if wav is not None:
                samples, rate = data_uri.read_wav(wav)
                if len(samples):
                    row["sound"] = data_uri.mp3(samples, rate, seconds)
                    row["wave"] = data_uri.waveform(samples[: round(LONGEST * rate)])
        except ValueError as e:
            raise ValueError(f"clip {clip_id}: {e}") from None
        result[clip_id] = row
    return result


def shown_galleries(galleries: dict[str, list[dict]], clips: dict[str, dict]) -> list[dict]:
    """What gallery.html shows. galleries: as of ReportData; clips: as of `shown_clips`."""
    result = []
    for direction, (source, target, name, text) in DIRECTIONS.items():
        rows: list[dict] = []
        marks: Counter = Counter()
        for gallery in galleries.get(direction) or []:
            cards = []
            for item in gallery["results"]:
                own, relevant = item["clip_id"] == gallery["query"], item.get("relevant")
                mark = "own" if own else {True: "right", False: "wrong"}.get(relevant)
                marks[mark] += 1
                score = _number(item.get("score"))
                cards.append(
                    {
                        "clip": clips[item["clip_id"]],
                        "mark": mark,
                        "score": f"{score:.2f}" if score is not None else None,
                    }
                )
            rows.append({"query": clips[gallery["query"]], "results": cards})
        if rows:
            judged = marks["right"] + marks["wrong"]
            result.append(
                {
                    "id": direction.replace("_", "-"),
                    "name": name,
                    "text": text,
                    "source": source,
                    "target": target,
                    "rows": rows,
                    "right": marks["right"],
                    "judged": judged,
                    "own": marks["own"],
                }
            )
    return result


def _classified(data: ReportData) -> dict | None:
    found = {
        "confusion": report_classes.confusion(data.confusion),
        "calibration": report_classes.calibration(data.calibration),
        "classes": report_classes.classes(data.per_class),
    }
    return found if any(found.values()) else None


def _places(data: ReportData) -> dict | None:
    """Where the sound is: numbers of both parts, and pictures with their maps and boxes (in %)."""
    parts = _get(data.metrics, "localization") or {}
    rows = []
    for key, text in (("two_in_view", "two instruments in view"), ("all", "all clips")):
        part = parts.get(key)
        if part:
            ways = [("the model", part), ("the centre of the frame", part.get("centre"))]
            ways += [("the silent instrument", part.get("silent"))]
            for name, way in ways:
                if way:
                    told = {k: (f"{way[k]:.3f}", way["ci"][k]) for k in ("pointing", "iou")}
                    rows.append({"clips": text, "n": part["n"], "name": name, **told})
    shown = []
    for m in data.maps:
        kinds = (("box", "sounds"), ("silent_box", "silent"))
        frames = [(kind, [round(100 * x, 1) for x in m[name]]) for name, kind in kinds if m.get(name)]
        shown.append(
            {"image": data_uri.heat(m["image"], np.array(m["map"])), "boxes": frames, "id": m["clip_id"]}
        )
    return {"rows": rows, "shown": shown} if rows or shown else None


def _neighbours(points: list[dict]) -> dict | None:
    """The map of embeddings, and its legend: the commonest classes in colours of their own."""
    if not points:
        return None
    common = [name for name, _ in Counter(p["label"] for p in points).most_common() if name]
    groups: dict[str, list] = {name: [] for name in common[: charts.HUES]}
    rest: list = []
    for p in points:
        text = f"{p['kind']}: {p['label'] or p['clip_id']} ({p['clip_id']})"
        group = groups.get(p["label"], rest)
        group.append((p["x"], p["y"], "dot" if p["kind"] == "sound" else "box", text))
    legend = list(groups)
    svg = charts.scatter(groups, f"Map of {len(points)} embeddings, {len(common)} classes")
    return {"svg": svg, "legend": legend, "left_out": len(rest)}


def _flat(tree: dict, prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return rows
