"""What the report shows, collected from what the stages wrote."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.tsne import flat
from pipeline.store import clip_table as table
from pipeline.store import epochs
from pipeline.store.formats import read_table
from pipeline.store.shards import read_index
from pipeline.store.status import OK
from pipeline.store.values import read_arrays, read_files

STAGES = ("media", "wav", "spectrogram", "frames", "faces")
FACELESS = 24  # frames without a face
NAMES = {"media": "download"}  # the stage that writes the folder, where it is called otherwise


@dataclass
class ReportData:
    """What the page shows; anything may be missing and is then left out or said to be missing.

    params: as in params.yaml. metrics: as in metrics/evaluate.json. description: of the model, by its task;
    as in metrics/description.json. history: a row an epoch, "epoch" (or "step") and any "train/loss",
    "val/accuracy", ... roc: rows {"fpr", "tpr"}. classes: label -> clips.
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


def gather(params: dict[str, Any]) -> ReportData:
    """params: as in params.yaml. Everything else is read from data/ and metrics/."""
    clips = table.read("data/clips.parquet")
    indexes = {stage: read_index(f"data/{stage}") for stage in STAGES}
    galleries: Any = _json("metrics/galleries.json")
    wanted = {c for rows in galleries.values() for row in rows for c in _ids(row)}
    metrics = _json("metrics/evaluate.json")
    maps: Any = _json("metrics/maps.json")
    seen = read_arrays("data/frames", {m["clip_id"] for m in maps}, indexes["frames"])
    shown = clips.filter(pc.is_in(clips["clip_id"], pa.array(sorted(wanted), pa.string())))
    return ReportData(
        params=params,
        metrics=metrics,
        description=_json("metrics/description.json"),
        history=epochs.read("metrics/train"),
        inpainting=Path("metrics/inpainting.jpg").read_bytes() if "reconstruction" in metrics else None,
        roc=_csv("metrics/roc.csv"),
        **{name: _csv(f"metrics/{name}.csv") for name in ("per_class", "confusion", "calibration")},
        classes={row["label"]: int(row["clips"]) for row in _csv("metrics/classes.csv")},
        accounts=[
            *(account(NAMES.get(s, s), indexes[s]) for s in STAGES if len(indexes[s]) or s != "faces"),
            account("split", read_table(Path("data/splits.parquet"), ["status"])),
        ],
        faceless=_faceless(indexes["faces"], indexes["frames"]),
        spectrograms=_spectrograms(clips, indexes["spectrogram"], params["audio"]["feature"]),
        clips=media({row["clip_id"]: row["labels"] for row in shown.to_pylist()}),
        galleries=galleries,
        neighbours=_neighbours(Path("data/embeddings")),
        maps=[m | {"image": _middle(seen[m["clip_id"]])} for m in maps],
    )


def media(labels: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """What a page shows of some clips: clip_id -> {"labels", "image", "wav"}. labels: of each of them."""
    images, sounds = read_arrays("data/frames", labels), read_files("data/wav", labels, "audio")
    return {c: _clip(labels[c], images.get(c), sounds.get(c)) for c in labels}


def account(stage: str, index: pa.Table) -> dict[str, Any]:
    """One stage's account in numbers."""
    reasons = {count["values"]: count["counts"] for count in pc.value_counts(index["status"]).to_pylist()}
    return {"stage": stage, "total": len(index), "ok": reasons.pop(OK, 0), "reasons": reasons}


def _neighbours(folder: Path) -> list[dict[str, Any]]:
    """Where the clips of the test split lie, from what the stage index wrote."""
    clips = read_table(folder / "clips.parquet")
    rows = np.flatnonzero(pc.fill_null(pc.equal(clips["split"], "test"), False))
    stored = {side: folder / f"{side}.npy" for side in ("audio", "video", "both")}
    found = {s: np.load(p, mmap_mode="r", allow_pickle=False)[rows] for s, p in stored.items() if p.exists()}
    return flat(found, clips.take(rows).to_pylist())


def _faceless(faces: pa.Table, frames: pa.Table) -> list[dict[str, Any]]:
    """The clips in whose frames no face was found; those that are not shown have no picture here."""
    without = faces["clip_id"].filter(pc.equal(faces["status"], "no_face"))
    ids = without.filter(pc.is_in(without, _ok(frames)["clip_id"])).to_pylist()
    seen = read_arrays("data/frames", ids[:FACELESS], frames)
    return [{"clip_id": c, "image": _middle(seen[c]) if c in seen else None} for c in ids]


def _ok(index: pa.Table) -> pa.Table:
    return index.filter(pc.equal(index["status"], OK))


def _ids(row: dict) -> list[str]:
    return [row["query"], *(result["clip_id"] for result in row["results"])]


def _middle(frames: np.ndarray) -> np.ndarray:
    return np.array(frames[len(frames) // 2])


def _clip(labels: list[str], image: np.ndarray | None, wav: bytes | None) -> dict[str, Any]:
    return {"labels": labels, "image": None if image is None else _middle(image), "wav": wav}


def _spectrograms(clips: pa.Table, index: pa.Table, feature: str) -> dict[str, np.ndarray]:
    """The first clip of each class that has sound and no other class: (F, T), low frequencies first."""
    one = pc.equal(pc.list_value_length(clips["labels"]), 1)
    clips = clips.filter(pc.and_(one, pc.is_in(clips["clip_id"], _ok(index)["clip_id"])))
    labels, first = np.unique(np.array(pc.list_flatten(clips["labels"]).to_pylist()), return_index=True)
    ids = clips["clip_id"].take(first).to_pylist()
    values = read_arrays("data/spectrogram", ids, index)
    drawn = (_drawn(np.asarray(values[c], np.float32), feature) for c in ids)
    return dict(zip(labels.tolist(), drawn, strict=True))


def _drawn(value: np.ndarray, feature: str) -> np.ndarray:
    """(channels, F, T) as a picture: the real and imaginary parts of an STFT become decibels."""
    return 20 * np.log10(np.hypot(value[0], value[1]) + 1e-5) if feature == "stft" else value[0]


def _json(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _csv(path: str) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))
