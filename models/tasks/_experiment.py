"""An experiment: what a task reads of params.yaml, that is names and sizes of its components."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

PRETRAINED = "pretrained"  # the folder of the model of the stage pretrain
# section of `encoders` -> key that names the encoder
KEYS = {"audio": "audio_encoder", "video": "video_encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What every task reads of the parameters. A subclass adds a task's fields, named as in params.yaml.

    All fields become keys of the model's config.json. encoder: the one for both modalities, if any. encoders:
    {"audio": {}, "video": {}, "joint": {}}, sizes that differ from the encoders' defaults.
    """

    task: str
    input: str
    seed: int
    modality: str = "both"
    label: str = "category"
    encoder: str | None = None
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def start(self) -> str | None:
        """Return the folder of the model whose encoder of both modalities training starts from, if any."""
        return None

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Read the fields from `params`, except those in `changes`. No other key of `params` is read."""
        names = {f.name for f in fields(cls)} - {"encoders", *changes}
        values = {name: getattr(params, name) for name in names} | changes
        sizes = {kind: getattr(params.encoders, kind).get(values.get(key), {}) for kind, key in KEYS.items()}
        return cls(**{"encoders": sizes} | values)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Read the fields from a model's config.json; missing ones get their defaults."""
        return cls(**{f.name: config[f.name] for f in fields(cls) if f.name in config})
