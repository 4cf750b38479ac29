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
from pipeline.report.galleries import clip_ids_of
from pipeline.report.quality import collect_quality
from pipeline.report.tsne import map_test_clips
from pipeline.store import clip_table as table
from pipeline.store import epochs
from pipeline.store.formats import read_table
from pipeline.store.shards import read_index
from pipeline.store.status import OK
from pipeline.store.values import read_arrays, read_files

MAX_FACELESS = 24  # clips without a face that the page shows


@dataclass
class ReportData:
    """The content of the page. Empty fields are left out of the page, or reported there as missing."""

    params: dict = field(default_factory=dict)  # as in params.yaml
    metrics: dict = field(default_factory=dict)  # as in metrics/evaluate.json
    description: dict = field(default_factory=dict)  # of the model, as in metrics/description.json
    # A row per epoch: "epoch" (or "step") and any of "train/loss", "val/accuracy", ...
    history: list[dict] = field(default_factory=list)
    roc: list[dict] = field(default_factory=list)  # points of the ROC curve: {"fpr", "tpr"}
    classes: dict[str, int] = field(default_factory=dict)  # label -> number of clips
    # In order: {"stage", "total": clips, "ok": clips, "reasons": {status: clips}}
    stages: list[dict] = field(default_factory=list)
    spectrograms: dict[str, np.ndarray] = field(default_factory=dict)  # label -> (freq, time)
    # clip_id -> {"labels": list, "image": (H, W, 3) uint8 or None, "wav": bytes or None}; the page contains
    # only those in a gallery
    clips: dict[str, dict] = field(default_factory=dict)
    # direction -> [{"query": clip_id, "results": [{"clip_id", "score", "relevant": bool or None}]}], the
    # nearest first
    galleries: dict[str, list[dict]] = field(default_factory=dict)
    # Localization maps {"clip_id", "map", "box", "silent_box"} as in metrics/maps.json, each with its "image"
    maps: list[dict] = field(default_factory=list)
    # Points of the t-SNE map: {"clip_id", "kind", "label", "x", "y"}
    embedding_map: list[dict] = field(default_factory=list)
    per_class: list[dict] = field(default_factory=list)  # rows of metrics/per_class.csv
    confusion: list[dict] = field(default_factory=list)  # rows of metrics/confusion.csv
    calibration: list[dict] = field(default_factory=list)  # rows of metrics/calibration.csv
    # Clips without a detected face: {"clip_id", "image": (H, W, 3) uint8, None if the page does not show it}
    faceless: list[dict] = field(default_factory=list)
    quality: dict = field(default_factory=dict)  # as of `quality.collect_quality`
    inpainting: bytes | None = None  # a JPEG of the patches that a masked autoencoder reconstructs


def collect_report_data(params: dict[str, Any]) -> ReportData:
    """Read the data of the report from data/ and metrics/. params: as in params.yaml."""
    clip_table = table.read("data/clips.parquet")
    indexes = {stage: read_index(folder) for stage, folder in data_stages().items()}
    metrics = _read_json("metrics/evaluate.json")
    galleries: Any = _read_json("metrics/galleries.json")
    gallery_ids = {clip_id for rows in galleries.values() for row in rows for clip_id in clip_ids_of(row)}
    in_gallery = pc.is_in(clip_table["clip_id"], pa.array(sorted(gallery_ids), pa.string()))
    gallery_labels = {row["clip_id"]: row["labels"] for row in clip_table.filter(in_gallery).to_pylist()}
    folder = Path("data/embeddings")
    return ReportData(
        params=params,
        metrics=metrics,
        description=_read_json("metrics/description.json"),
        history=epochs.read_history("metrics/train"),
        quality=collect_quality(indexes["frames"]),
        inpainting=Path("metrics/inpainting.jpg").read_bytes() if "reconstruction" in metrics else None,
        roc=_read_csv("metrics/roc.csv"),
        per_class=_read_csv("metrics/per_class.csv"),
        confusion=_read_csv("metrics/confusion.csv"),
        calibration=_read_csv("metrics/calibration.csv"),
        classes={row["label"]: int(row["clips"]) for row in _read_csv("metrics/classes.csv")},
        stages=[
            # The index of a stage that was switched off (faces) is empty.
            *(count_statuses(stage, index) for stage, index in indexes.items() if len(index)),
            count_statuses("split", read_table(Path("data/splits.parquet"), ["status"])),
        ],
        faceless=_faceless_clips(indexes["faces"], indexes["frames"]),
        spectrograms=_class_spectrograms(clip_table, indexes["spectrogram"], params["audio"]["feature"]),
        clips=read_clips(gallery_labels),
        galleries=galleries,
        embedding_map=map_test_clips(folder, read_table(folder / "clips.parquet")),
        maps=_localization_maps(indexes["frames"]),
    )


def read_clips(labels: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Read the middle frame and the sound of clips. labels: clip_id -> labels of these clips.

    Returns clip_id -> {"labels", "image": (H, W, 3) uint8 or None, "wav": bytes or None}.
    """
    frames, sounds = read_arrays("data/frames", labels), read_files("data/wav", labels, "audio")
    return {
        clip_id: {
            "labels": clip_labels,
            "image": _middle_frame(frames[clip_id]) if clip_id in frames else None,
            "wav": sounds.get(clip_id),
        }
        for clip_id, clip_labels in labels.items()
    }


def count_statuses(stage: str, index: pa.Table) -> dict[str, Any]:
    """Count the clips of each status in the index of a stage.

    Returns {"stage", "total": clips, "ok": clips, "reasons": {status other than ok: clips}}.
    """
    counts = {count["values"]: count["counts"] for count in pc.value_counts(index["status"]).to_pylist()}
    n_ok = counts.pop(OK, 0)
    return {"stage": stage, "total": len(index), "ok": n_ok, "reasons": counts}


def _localization_maps(frames_index: pa.Table) -> list[dict[str, Any]]:
    """Return the maps of metrics/maps.json, each with the middle frame of its clip as "image"."""
    maps: Any = _read_json("metrics/maps.json")
    frames = read_arrays("data/frames", {entry["clip_id"] for entry in maps}, frames_index)
    return [entry | {"image": _middle_frame(frames[entry["clip_id"]])} for entry in maps]


def _faceless_clips(faces_index: pa.Table, frames_index: pa.Table) -> list[dict[str, Any]]:
    """Return {"clip_id", "image"} of the clips that have frames, but no detected face.

    Only the first MAX_FACELESS have an image, which the page shows; it is None for the others.
    """
    faceless_ids = faces_index["clip_id"].filter(pc.equal(faces_index["status"], "no_face"))
    has_frames = pc.is_in(faceless_ids, _ok_ids(frames_index))
    ids = faceless_ids.filter(has_frames).to_pylist()
    frames = read_arrays("data/frames", ids[:MAX_FACELESS], frames_index)
    return [
        {"clip_id": clip_id, "image": _middle_frame(frames[clip_id]) if clip_id in frames else None}
        for clip_id in ids
    ]


def _ok_ids(index: pa.Table) -> pa.ChunkedArray:
    """Return the ids of the clips whose status in an index is ok."""
    return index["clip_id"].filter(pc.equal(index["status"], OK))


def _middle_frame(frames: np.ndarray) -> np.ndarray:
    """Return the middle one of the frames (n, H, W, 3) of a clip, as an array in memory."""
    return np.array(frames[len(frames) // 2])


def _class_spectrograms(clips: pa.Table, index: pa.Table, feature: str) -> dict[str, np.ndarray]:
    """Return label -> spectrogram (freq, time), low frequencies first, of its first clip with only this
    label.

    clips: the clip table. index: of the stage `spectrogram`. feature: the parameter `audio.feature`.
    """
    has_one_label = pc.equal(pc.list_value_length(clips["labels"]), 1)
    clips = clips.filter(pc.and_(has_one_label, pc.is_in(clips["clip_id"], _ok_ids(index))))
    clip_labels = np.array(pc.list_flatten(clips["labels"]).to_pylist())  # one per clip
    labels, first_rows = np.unique(clip_labels, return_index=True)
    ids = clips["clip_id"].take(first_rows).to_pylist()
    features = read_arrays("data/spectrogram", ids, index)
    spectrograms = (_to_decibels(np.asarray(features[clip_id], np.float32), feature) for clip_id in ids)
    return dict(zip(labels.tolist(), spectrograms, strict=True))


def _to_decibels(features: np.ndarray, feature: str) -> np.ndarray:
    """Return features (channels, freq, time) as one spectrogram (freq, time).

    feature: their kind. An STFT (real and imaginary part) and samples are converted to decibels; other kinds
    are stored so.
    """
    if feature == "waveform":
        columns = features[0] * np.hanning(features.shape[1] + 2)[1:-1, None]  # (samples, time)
        return 20 * np.log10(np.abs(np.fft.rfft(columns, axis=0)) + 1e-5)
    if feature == "stft":
        return 20 * np.log10(np.hypot(features[0], features[1]) + 1e-5)  # 1e-5: silence is -100 dB
    return features[0]


def _read_json(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _read_csv(path: str) -> list[dict]:
    """Return the rows of a CSV file as column -> text."""
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))
