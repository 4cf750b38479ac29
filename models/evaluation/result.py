"""The settings and the result of an evaluation."""

from dataclasses import dataclass, field, fields
from typing import Any

import pyarrow as pa

from pipeline.dataset.dataset import Dataset


@dataclass(frozen=True)
class ProtocolSettings:
    """Which protocols to evaluate, and how.

    names: of the protocols. lists: folder of the published lists. allow_overlap: names of those whose test
    clips may be learnt from. rows: of the clip table. windows, similarity, frames: see Options.
    """

    names: tuple[str, ...]
    lists: str
    allow_overlap: tuple[str, ...]
    rows: list[dict[str, Any]]
    windows: int
    similarity: str
    frames: int = 1

    @classmethod
    def from_params(cls, params: Any, rows: list[dict[str, Any]]) -> "ProtocolSettings":
        """Create the settings that params.yaml describes. rows: of the clip table."""
        section = params.evaluate
        return cls(
            names=tuple(section.protocols),
            lists=params.data.subset_lists,
            allow_overlap=tuple(section.allow_overlap),
            rows=rows,
            windows=section.windows,
            similarity=section.similarity,
            frames=section.frames,
        )


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    pairing: which clips match: `clip`, a sound and the picture of the same clip, or `category`, clips with a
    label in common. label: which labels those are: `category`, or a column of the clip table. bootstrap:
    number of resamples for each interval. seed: of all random choices. boxes: clip_id -> the boxes of the
    sounding and of the silent object in the frame (None if there is none), for models that localize sounds; a
    box is [left, top, right, bottom], 0 to 1. frame_positions: number of positions of the frames in a window,
    over which a classifier's probabilities are averaged. templates: of zero-shot classification; empty: none.
    no_source: clips in which nothing in view makes the sound, to measure localization; None: none.
    protocols: which published protocols to evaluate, and how; None: none.
    """

    pairing: str
    label: str
    bootstrap: int
    seed: int
    boxes: dict | None = None
    frame_positions: int = 1
    templates: tuple[str, ...] = ()
    no_source: Dataset | None = None
    protocols: ProtocolSettings | None = None

    @classmethod
    def from_params(
        cls,
        params: Any,
        boxes: dict | None = None,
        no_source: Dataset | None = None,
        protocols: ProtocolSettings | None = None,
    ) -> "Settings":
        """Create the settings that params.yaml describes. boxes, no_source, protocols: see the class."""
        return cls(
            pairing=params.pairing,
            label=params.label,
            bootstrap=params.evaluate.bootstrap,
            seed=params.seed,
            boxes=boxes,
            frame_positions=params.evaluate.frames,
            templates=tuple(params.evaluate.zero_shot),
            no_source=no_source,
            protocols=protocols,
        )


@dataclass
class Evaluation:
    """Result of an evaluation. A field is empty if the evaluation does not apply to the model.

    metrics: the content of metrics/evaluate.json. roc: points of the ROC curve, {"fpr", "tpr"} each.
    galleries: direction, such as `audio_to_video` -> a few queries with the clips nearest to them, for the
    report. maps: where a model that localizes sounds finds them in a few clips: {"clip_id", "map", "box",
    "silent_box"} each. inpainting_examples: images of a few clips that a masked autoencoder reconstructed:
    {"clip_id", "audio", "video"} each, with three images (original, masked, reconstruction) of each modality.
    has_normalized_patches: whether that model predicts patches without their mean and deviation, and these
    images show them with those of the true patches. per_class, confusion, calibration: rows of tables about a
    classifier: metrics of each class, each clip's actual and predicted class, and accuracy by confidence.
    description: texts that describe the model in the report. predictions: the tables that make up
    metrics/predictions.parquet.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    roc: list[dict] = field(default_factory=list)
    galleries: dict[str, list[dict]] = field(default_factory=dict)
    maps: list[dict] = field(default_factory=list)
    inpainting_examples: list[dict] = field(default_factory=list)
    has_normalized_patches: bool = False
    per_class: list[dict] = field(default_factory=list)
    confusion: list[dict] = field(default_factory=list)
    calibration: list[dict] = field(default_factory=list)
    description: dict[str, Any] = field(default_factory=dict)
    predictions: list[pa.Table] = field(default_factory=list)

    def __or__(self, other: "Evaluation") -> "Evaluation":
        """Merge two results: metrics and predictions of both, and other fields of `other` unless empty."""
        values = {f.name: getattr(other, f.name) or getattr(self, f.name) for f in fields(self)}
        values["metrics"] = self.metrics | other.metrics
        values["predictions"] = self.predictions + other.predictions
        return Evaluation(**values)
