"""The settings and the result of an evaluation."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    pairing, label: of the parameters. bootstrap: number of resamples for each interval. boxes: as in
    pipeline.metrics.localization, for models that localize sounds. frame_positions: number of frame positions
    in a window over which a classifier's probabilities are averaged.
    """

    pairing: str
    label: str
    bootstrap: int
    seed: int
    boxes: dict | None = None
    frame_positions: int = 1

    @classmethod
    def from_params(cls, params: Any, boxes: dict | None = None) -> "Settings":
        """Return the settings of the parameters."""
        evaluation = params.evaluate
        return cls(params.pairing, params.label, evaluation.bootstrap, params.seed, boxes, evaluation.frames)


@dataclass
class Evaluation:
    """Result of an evaluation.

    metrics: as in metrics/evaluate.json. roc: rows {"fpr", "tpr"}. galleries: direction -> queries with their
    nearest clips, for the report. maps: {"clip_id", "map", "box", "silent_box"} of a few clips, if the model
    localizes sounds and the clip table has boxes. inpainted: of a masked autoencoder, as
    `inpainting.pictures`; normalized: whether its predictions are shown with the true mean and deviation of
    each patch. per_class, confusion, calibration: rows of a classifier's evaluation. description: of the
    model, for the report.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    roc: list[dict] = field(default_factory=list)
    galleries: dict[str, list[dict]] = field(default_factory=dict)
    maps: list[dict] = field(default_factory=list)
    inpainted: list[dict] = field(default_factory=list)
    normalized: bool = False
    per_class: list[dict] = field(default_factory=list)
    confusion: list[dict] = field(default_factory=list)
    calibration: list[dict] = field(default_factory=list)
    description: dict[str, Any] = field(default_factory=dict)

    def __or__(self, other: "Evaluation") -> "Evaluation":
        """Merge two results: all metrics, and the fields of `other` unless they are empty."""
        values = {f.name: getattr(other, f.name) or getattr(self, f.name) for f in fields(self)}
        return Evaluation(**values | {"metrics": self.metrics | other.metrics})
