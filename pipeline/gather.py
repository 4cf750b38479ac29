"""What the report shows, collected from what the stages wrote."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import clips as table
from pipeline.neighbourhoods import flat
from pipeline.outcome import OK
from pipeline.report import FACELESS, ReportData
from pipeline.shards import place, places, read_index, read_table

STAGES = ("media", "wav", "spectrogram", "frames", "faces")
NAMES = {"media": "download"}  # the stage that writes the folder, where it is called otherwise


def gather(params: dict[str, Any]) -> ReportData:
    """params: as in params.yaml. Everything else is read from data/ and metrics/."""
    rows = table.read("data/clips.parquet").to_pylist()
    labels = {row["clip_id"]: row["labels"] for row in rows}
    accounts = {stage: read_index(f"data/{stage}").to_pylist() for stage in STAGES}
    where = {s: {r["clip_id"]: r for r in accounts[s] if r["status"] == OK} for s in STAGES}
    splits = read_table(Path("data/splits.parquet")).to_pylist()
    galleries: Any = _json("metrics/galleries.json")
    wanted = {c for rows in galleries.values() for row in rows for c in _ids(row)}
    metrics = _json("metrics/evaluate.json")
    maps: Any = _json("metrics/maps.json")
    seen = _values("frames", where["frames"], {m["clip_id"] for m in maps})
    return ReportData(
        params=params,
        metrics=metrics,
        history=history("metrics/train/plots/metrics"),
        inpainting=Path("metrics/inpainting.jpg").read_bytes() if "reconstruction" in metrics else None,
        roc=_csv("metrics/roc.csv"),
        **{name: _csv(f"metrics/{name}.csv") for name in ("per_class", "confusion", "calibration")},
        classes={row["label"]: int(row["clips"]) for row in _csv("metrics/classes.csv")},
        accounts=[
            *(account(NAMES.get(s, s), accounts[s]) for s in STAGES if accounts[s] or s != "faces"),
            account("split", splits),
        ],
        faceless=_faceless(accounts["faces"], where["frames"]),
        spectrograms=_spectrograms(labels, where["spectrogram"], params["audio"]["feature"]),
        clips=media({c: labels[c] for c in wanted}),
        galleries=galleries,
        neighbours=_neighbours(Path("data/embeddings")),
        maps=[m | {"image": _middle(seen[m["clip_id"]])} for m in maps],
    )


def media(labels: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """What a page shows of some clips: clip_id -> {"labels", "image", "wav"}. labels: of each of them."""
    wanted = set(labels)
    where = {s: {r["clip_id"]: r for r in read_index(f"data/{s}").to_pylist()} for s in ("frames", "wav")}
    images, sounds = (
        _values(s, {c: r for c, r in where[s].items() if r["status"] == OK}, wanted) for s in where
    )
    return {c: _clip(labels[c], images.get(c), sounds.get(c)) for c in labels}


def account(stage: str, rows: list[dict]) -> dict[str, Any]:
    """One stage's account in numbers."""
    reasons = Counter(row["status"] for row in rows)
    return {"stage": stage, "total": len(rows), "ok": reasons.pop(OK, 0), "reasons": dict(reasons)}


def history(folder: str | Path) -> list[dict[str, Any]]:
    """DVCLive's curves, a TSV file for each metric (<folder>/train/loss.tsv), as a row for each epoch."""
    epochs: dict[int, dict[str, Any]] = {}
    for path in sorted(Path(folder).glob("*/*.tsv")):
        with open(path, newline="", encoding="utf-8") as f:
            for row in csv.DictReader(f, delimiter="\t"):
                step = int(row["step"])
                epochs.setdefault(step, {"epoch": step})[f"{path.parent.name}/{path.stem}"] = float(
                    row[path.stem]
                )
    return [epochs[step] for step in sorted(epochs)]


def _neighbours(folder: Path) -> list[dict[str, Any]]:
    """Where the clips of the test split lie, from what the stage index wrote."""
    clips = read_table(folder / "clips.parquet").to_pylist()
    rows = [i for i, clip in enumerate(clips) if clip["split"] == "test"]
    stored = {side: folder / f"{side}.npy" for side in ("audio", "video", "both")}
    found = {s: np.load(p, mmap_mode="r", allow_pickle=False)[rows] for s, p in stored.items() if p.exists()}
    return flat(found, [clips[i] for i in rows])


def _faceless(faces: list[dict], frames: dict[str, dict]) -> list[dict[str, Any]]:
    """The clips in whose frames no face was found; those that are not shown have no picture here."""
    ids = [r["clip_id"] for r in faces if r["status"] == "no_face" and r["clip_id"] in frames]
    seen = _values("frames", frames, set(ids[:FACELESS]))
    return [{"clip_id": c, "image": _middle(seen[c]) if c in seen else None} for c in ids]


def _ids(row: dict) -> list[str]:
    return [row["query"], *(result["clip_id"] for result in row["results"])]


def _middle(frames: np.ndarray) -> np.ndarray:
    return np.array(frames[len(frames) // 2])


def _clip(labels: list[str], image: np.ndarray | None, wav: dict | None) -> dict[str, Any]:
    return {
        "labels": labels,
        "image": None if image is None else _middle(image),
        "wav": wav and wav["audio"]["bytes"],
    }


def _spectrograms(
    labels: dict[str, list[str]], where: dict[str, dict], feature: str
) -> dict[str, np.ndarray]:
    """The first clip of each class that has sound and no other class: (F, T), low frequencies first."""
    first: dict[str, str] = {}
    for clip_id, names in labels.items():
        if len(names) == 1 and clip_id in where:
            first.setdefault(names[0], clip_id)
    values = _values("spectrogram", where, set(first.values()))
    return {label: _drawn(np.asarray(values[c], np.float32), feature) for label, c in sorted(first.items())}


def _drawn(value: np.ndarray, feature: str) -> np.ndarray:
    """(channels, F, T) as a picture: the real and imaginary parts of an STFT become decibels."""
    return 20 * np.log10(np.hypot(value[0], value[1]) + 1e-5) if feature == "stft" else value[0]


def _values(stage: str, where: dict[str, dict], wanted: set[str]) -> dict[str, Any]:
    """The values of some clips, each shard opened once."""
    by_shard: dict[int, list[dict]] = {}
    for clip_id in wanted & where.keys():
        by_shard.setdefault(where[clip_id]["shard"], []).append(where[clip_id])
    values: dict[str, Any] = {}
    folder = Path("data") / stage
    elsewhere = places(read_index(folder)) if by_shard else []
    for shard, rows in sorted(by_shard.items()):
        path = place(folder, elsewhere, shard, ".parquet" if stage == "wav" else ".npy")
        if stage == "wav":
            stored: Any = read_table(path).take([r["row"] for r in rows]).to_pylist()
            values |= {r["clip_id"]: value for r, value in zip(rows, stored, strict=True)}
        else:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
            values |= {r["clip_id"]: stored[r["row"]] for r in rows}
    return values


def _json(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _csv(path: str) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))
