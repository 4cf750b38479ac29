"""What an evaluation is told, and what comes out."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """pairing, label: of the parameters. bootstrap: resamples behind each interval. boxes: of
    pipeline.metrics.localization, for models that can say where the sound is. looks: at how many places in a
    window a classifier looks at the picture."""

    pairing: str
    label: str
    bootstrap: int
    seed: int
    boxes: dict | None = None
    looks: int = 1


@dataclass
class Evaluation:
    """metrics: as in metrics/evaluate.json. roc: rows {"fpr", "tpr"}. galleries: direction -> queries with
    their nearest, as the report shows them. maps: {"clip_id", "map", "box", "silent_box"} of a few clips,
    where the model can say where the sound is and the clip table knows it. inpainted: of a masked
    autoencoder, as of `inpainting.pictures`; normalized: whether means and deviations are lent to what it
    filled in. per_class, confusion, calibration: of a classifier, rows as of `classifier`. description: of
    the model by its task, for the report."""

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
        """Both together; of what is in both, that of `other`, and all metrics."""
        values = {f.name: getattr(other, f.name) or getattr(self, f.name) for f in fields(self)}
        return Evaluation(**values | {"metrics": self.metrics | other.metrics})
