"""The data of the report, collected from the outputs of the stages."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import data_stages
from pipeline.report.tsne import project
from pipeline.store import clip_table as table
from pipeline.store import epochs
from pipeline.store.formats import read_table
from pipeline.store.shards import read_index
from pipeline.store.status import OK
from pipeline.store.values import read_arrays, read_files

FACELESS = 24  # frames without a face that the page shows


@dataclass
class ReportData:
    """The content of the page. Empty fields are left out of the page, or reported there as missing.

    params: as in params.yaml. metrics: as in metrics/evaluate.json. description: of the model, as in
    metrics/description.json. history: a row per epoch, "epoch" (or "step") and any of "train/loss",
    "val/accuracy", ... roc: rows {"fpr", "tpr"}. classes: label -> number of clips.
    stages: in order {"stage", "total", "ok", "reasons": {status: clips}}. spectrograms: label -> (F, T).
    clips: clip_id -> {"labels": list, "image": (H, W, 3) uint8 or None, "wav": bytes or None}; the page
    contains only those in a gallery. galleries: direction -> [{"query": clip_id, "results": [{"clip_id",
    "score", "relevant": bool or None}]}], nearest first. maps: as in metrics/maps.json, each with its
    "image". embedding_map: as of pipeline.report.tsne.project. per_class, confusion, calibration: rows of
    these tables under metrics/. faceless: {"clip_id", "image"} of clips without a detected face.
    inpainting: a JPEG of the patches that a masked autoencoder reconstructs.
    """

    params: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    description: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    roc: list[dict] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    stages: list[dict] = field(default_factory=list)
    spectrograms: dict[str, np.ndarray] = field(default_factory=dict)
    clips: dict[str, dict] = field(default_factory=dict)
    galleries: dict[str, list[dict]] = field(default_factory=dict)
    maps: list[dict] = field(default_factory=list)
    embedding_map: list[dict] = field(default_factory=list)
    per_class: list[dict] = field(default_factory=list)
    confusion: list[dict] = field(default_factory=list)
    calibration: list[dict] = field(default_factory=list)
    faceless: list[dict] = field(default_factory=list)
    inpainting: bytes | None = None


def collect(params: dict[str, Any]) -> ReportData:
    """Read the data of the report from data/ and metrics/. params: as in params.yaml."""
    clips = table.read("data/clips.parquet")
    indexes = {stage: read_index(folder) for stage, folder in data_stages().items()}
    galleries: Any = _json("metrics/galleries.json")
    gallery_ids = {c for rows in galleries.values() for row in rows for c in _ids(row)}
    metrics = _json("metrics/evaluate.json")
    maps: Any = _json("metrics/maps.json")
    map_frames = read_arrays("data/frames", {m["clip_id"] for m in maps}, indexes["frames"])
    gallery_clips = clips.filter(pc.is_in(clips["clip_id"], pa.array(sorted(gallery_ids), pa.string())))
    return ReportData(
        params=params,
        metrics=metrics,
        description=_json("metrics/description.json"),
        history=epochs.read_history("metrics/train"),
        inpainting=Path("metrics/inpainting.jpg").read_bytes() if "reconstruction" in metrics else None,
        roc=_csv("metrics/roc.csv"),
        **{name: _csv(f"metrics/{name}.csv") for name in ("per_class", "confusion", "calibration")},
        classes={row["label"]: int(row["clips"]) for row in _csv("metrics/classes.csv")},
        stages=[
            # The index of a stage that was switched off (faces) is empty.
            *(count_statuses(stage, index) for stage, index in indexes.items() if len(index)),
            count_statuses("split", read_table(Path("data/splits.parquet"), ["status"])),
        ],
        faceless=_faceless(indexes["faces"], indexes["frames"]),
        spectrograms=_spectrograms(clips, indexes["spectrogram"], params["audio"]["feature"]),
        clips=read_clips({row["clip_id"]: row["labels"] for row in gallery_clips.to_pylist()}),
        galleries=galleries,
        embedding_map=_embedding_map(Path("data/embeddings")),
        maps=[m | {"image": _middle(map_frames[m["clip_id"]])} for m in maps],
    )


def read_clips(labels: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return clip_id -> {"labels", "image", "wav"}, as in ReportData.clips. labels: clip_id -> labels."""
    images, sounds = read_arrays("data/frames", labels), read_files("data/wav", labels, "audio")
    return {c: _clip(labels[c], images.get(c), sounds.get(c)) for c in labels}


def count_statuses(stage: str, index: pa.Table) -> dict[str, Any]:
    """Return the number of clips of each status in a stage's index, as in ReportData.stages."""
    reasons = {count["values"]: count["counts"] for count in pc.value_counts(index["status"]).to_pylist()}
    return {"stage": stage, "total": len(index), "ok": reasons.pop(OK, 0), "reasons": reasons}


def _embedding_map(folder: Path) -> list[dict[str, Any]]:
    """Project the embeddings of the test split, from the outputs of the stage index."""
    clips = read_table(folder / "clips.parquet")
    rows = np.flatnonzero(pc.fill_null(pc.equal(clips["split"], "test"), False))
    paths = {side: folder / f"{side}.npy" for side in ("audio", "video", "both")}
    embeddings = {
        s: np.load(p, mmap_mode="r", allow_pickle=False)[rows] for s, p in paths.items() if p.exists()
    }
    return project(embeddings, clips.take(rows).to_pylist())


def _faceless(faces: pa.Table, frames: pa.Table) -> list[dict[str, Any]]:
    """Return the clips without a detected face; only those that the page shows have an image."""
    without = faces["clip_id"].filter(pc.equal(faces["status"], "no_face"))
    ids = without.filter(pc.is_in(without, _ok(frames)["clip_id"])).to_pylist()
    images = read_arrays("data/frames", ids[:FACELESS], frames)
    return [{"clip_id": c, "image": _middle(images[c]) if c in images else None} for c in ids]


def _ok(index: pa.Table) -> pa.Table:
    return index.filter(pc.equal(index["status"], OK))


def _ids(row: dict) -> list[str]:
    return [row["query"], *(result["clip_id"] for result in row["results"])]


def _middle(frames: np.ndarray) -> np.ndarray:
    return np.array(frames[len(frames) // 2])


def _clip(labels: list[str], image: np.ndarray | None, wav: bytes | None) -> dict[str, Any]:
    return {"labels": labels, "image": None if image is None else _middle(image), "wav": wav}


def _spectrograms(clips: pa.Table, index: pa.Table, feature: str) -> dict[str, np.ndarray]:
    """Return class -> spectrogram (F, T), low frequencies first, of its first clip with only this label."""
    has_one_label = pc.equal(pc.list_value_length(clips["labels"]), 1)
    clips = clips.filter(pc.and_(has_one_label, pc.is_in(clips["clip_id"], _ok(index)["clip_id"])))
    labels, first = np.unique(np.array(pc.list_flatten(clips["labels"]).to_pylist()), return_index=True)
    ids = clips["clip_id"].take(first).to_pylist()
    values = read_arrays("data/spectrogram", ids, index)
    spectrograms = (_to_decibels(np.asarray(values[c], np.float32), feature) for c in ids)
    return dict(zip(labels.tolist(), spectrograms, strict=True))


def _to_decibels(value: np.ndarray, feature: str) -> np.ndarray:
    """Return features (channels, F, T) as (F, T); an STFT (real and imaginary part) in decibels."""
    return 20 * np.log10(np.hypot(value[0], value[1]) + 1e-5) if feature == "stft" else value[0]


def _json(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _csv(path: str) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))
