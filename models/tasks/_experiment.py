"""An experiment: what a task reads of params.yaml, that is names and sizes of its components."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

PRETRAINED = "pretrained"  # the folder of the model that the stage pretrain trains
# Section of `encoders` in params.yaml -> the key that names the encoder to which its sizes belong.
ENCODER_KEYS = {"audio": "audio_encoder", "video": "video_encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The values of params.yaml that every task reads. A subclass adds the fields of one task.

    Each field has the name of its key in params.yaml, and becomes a key of the model's config.json. encoder:
    name of the encoder of both modalities, if there is one. encoders: the sizes that differ from an encoder's
    defaults, by section: {"audio": {...}, "video": {...}, "joint": {...}}; `joint` is for `encoder`.
    """

    task: str
    input: str
    seed: int
    modality: str = "both"
    label: str = "category"
    encoder: str | None = None
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def initial_model_folder(self) -> str | None:
        """Return the folder of the model whose `encoder` training starts from; None: random weights."""
        return None

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Create the experiment that params.yaml describes.

        params: the content of params.yaml. changes: values of fields to use instead of those in `params`.
        """
        field_names = {f.name for f in fields(cls)} - {"encoders", *changes}
        values = {name: getattr(params, name) for name in field_names} | changes
        sizes = {
            section: getattr(params.encoders, section).get(values.get(key), {})
            for section, key in ENCODER_KEYS.items()
        }
        return cls(**{"encoders": sizes} | values)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create the experiment from a model's config.json. A missing field gets its default."""
        return cls(**{f.name: config[f.name] for f in fields(cls) if f.name in config})
