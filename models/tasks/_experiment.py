"""An experiment: what a task reads of params.yaml, that is names and sizes of its components."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from models.registry import select_keywords

CACHED = "cached"  # the encoder that reads the features of towers
PRETRAINED = "pretrained"  # the folder of the model that the stage pretrain trains
# Section of `encoders` in params.yaml -> the key that names the encoder to which its sizes belong.
ENCODER_KEYS = {"audio": "audio_encoder", "video": "video_encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The values of params.yaml that every task reads. A subclass adds the fields of one task.

    Each field has the name of its key in params.yaml, and becomes a key of the model's config.json. encoder:
    name of the encoder of both modalities, if there is one. encoders: the sizes that differ from an encoder's
    defaults, by section: {"audio": {...}, "video": {...}, "joint": {...}}; `joint` is for `encoder`.
    towers: for encoders that read features of towers: "audio" or "video" -> name of a tower -> keywords, and
    the keys `segment_seconds` and `hop_seconds` of that section; otherwise empty.
    """

    task: str
    input: str
    seed: int
    modality: str = "both"
    label: str = "category"
    encoder: str | None = None
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    towers: dict[str, Any] = field(default_factory=dict)

    @property
    def initial_model_folder(self) -> str | None:
        """Return the folder of the model whose `encoder` training starts from; None: random weights."""
        return None

    @classmethod
    def from_params(cls, params: Any, **changes: Any) -> Self:
        """Create the experiment that params.yaml describes.

        params: the content of params.yaml. changes: values of fields to use instead of those in `params`.
        """
        field_names = {f.name for f in fields(cls)} - {"encoders", "towers", *changes}
        values = {name: getattr(params, name) for name in field_names} | changes
        sizes = {
            section: encoder_keywords(params, section, values.get(key) or "")
            for section, key in ENCODER_KEYS.items()
        }
        return cls(**{"encoders": sizes, "towers": _select_towers(params, values)} | values)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create the experiment from a model's config.json. A missing field gets its default."""
        return cls(**{f.name: config[f.name] for f in fields(cls) if f.name in config})


def encoder_keywords(params: Any, section: str, name: str) -> dict[str, Any]:
    """Return the keywords of an encoder: those under `encoders`, by its name or that of its library.

    A network of Hugging Face for sound also gets which feature it hears, so that it can check it.
    section: "audio", "video" or "joint". name: of the encoder; empty if there is none.
    """
    keywords = select_keywords([name], getattr(params.encoders, section))[name]
    if section == "audio" and name.startswith("hf/"):
        return keywords | {"feature": params.audio.feature, "sample_rate": params.audio.sample_rate}
    return keywords


def _select_towers(params: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the field `towers` of an experiment. values: the other fields."""
    modality = values.get("modality", "both")
    sides = [
        side
        for side in ("audio", "video")
        if values.get(f"{side}_encoder") == CACHED and modality in (side, "both") and not values["encoder"]
    ]
    if not sides:
        return {}  # and read nothing: a stage may read only what dvc.yaml lists
    section, towers = params.towers, {}
    for side in sides:
        towers[side] = select_keywords(getattr(section, side), getattr(params.encoders, side))
    return towers | {"segment_seconds": section.segment_seconds, "hop_seconds": section.hop_seconds}


def make_encoder(side: str, registry: Any, config: dict[str, Any], shape: tuple, dim: int) -> Any:
    """Create the encoder of a modality that config.json describes.

    side: "audio" or "video". registry: of its encoders. config: the content of config.json. shape: of one
    window. dim: size of an embedding.
    """
    features = config.get("features", {}).get(side)
    arguments = (shape, dim, features) if features else (shape, dim)
    return registry.make(config[f"{side}_encoder"], *arguments, **config["encoders"][side])
