"""Features of towers: where they are stored, and which of them a model reads."""

from dataclasses import dataclass
from typing import Any

from pipeline.dataset.windows import Segments

FEATURE_FOLDERS = {"audio": "audio_features", "video": "video_features"}  # side -> folder of its features


@dataclass(frozen=True)
class FeatureUse:
    """Which sides of windows a model reads as features of towers: "audio", "video" or both.

    segments: how towers divide sound; None if `sides` lacks "audio".
    """

    sides: tuple[str, ...] = ()
    segments: Segments | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FeatureUse":
        """Read the key `features` of a model's config.json, if there is one: side -> its description."""
        features = config.get("features", {})
        segments = None
        if audio := features.get("audio"):
            segments = Segments(audio["columns"], audio["hop_columns"])
        return cls(tuple(features), segments)
