"""What is trained: the names and sizes that params.yaml gives to a task and its components."""

from dataclasses import dataclass, field, fields
from typing import Any

from models import checkpoint
from pipeline.dataset.dataset import Dataset

PRETRAINED = "pretrained"  # where the stage pretrain leaves its model
SCRATCH = "scratch"
JOINT = "cav_mae"  # the encoder of task: pretraining where params.yaml names none


@dataclass(frozen=True)
class Experiment:
    """What is trained against what: names as in params.yaml.

    encoders: {"audio": {}, "video": {}, "joint": {}}, sizes other than the encoders' own. constants: the
    loss's. classification, pretraining: sections of the parameters.
    """

    task: str
    input: str
    seed: int
    encoder: str | None = None
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    modality: str = "both"
    audio_encoder: str = ""
    video_encoder: str = ""
    loss: str = ""
    matcher: str = ""
    pairing: str = "clip"
    label: str = "category"
    constants: dict[str, float] = field(default_factory=dict)
    classification: dict[str, Any] = field(default_factory=dict)
    pretraining: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> str | None:
        """The folder of the model that an encoder of both modalities starts from."""
        start = self.classification.get("start", SCRATCH)
        if not self.encoder or start == SCRATCH:
            return None
        return PRETRAINED if start == "pretrain" else start

    def begun(self, data: Dataset) -> list[Any]:
        """What an encoder of both modalities is made from beside the data's shards and the parameters."""
        weights = checkpoint.identity(self.start) if self.start else None
        return [weights, data.statistics] if self.encoder else []

    @classmethod
    def of(cls, params: Any, **other: Any) -> "Experiment":
        """What the stage train trains, as the parameters say, but for `other` (audio_encoder, loss, seed)."""
        sections = {"encoders", "constants", "classification", "pretraining"}
        values = {f.name: getattr(params, f.name) for f in fields(cls) if f.name not in {*sections, *other}}
        values |= other
        values["classification"] = params.classification.model_dump() | other.get("classification", {})
        kinds = {"audio": params.encoders.audio, "video": params.encoders.video}
        sizes = {kind: own.get(values[f"{kind}_encoder"], {}) for kind, own in kinds.items()}
        sizes["joint"] = params.encoders.joint.get(values["encoder"], {})
        return cls(**values, encoders=sizes, constants=params.losses[values["loss"]])

    @classmethod
    def pretrained(cls, params: Any, **other: Any) -> "Experiment":
        """What the stage pretrain trains, but for `other` (pretraining: keys of that section, seed)."""
        encoder = params.encoder or JOINT
        sections = {"train", "augment"}
        settings = params.pretraining.model_dump(exclude=sections) | other.pop("pretraining", {})
        values = {"seed": params.seed, "encoders": {"joint": params.encoders.joint.get(encoder, {})}} | other
        return cls("pretraining", params.input, encoder=encoder, pretraining=settings, **values)


def inputs(params: Any) -> dict[str, Any]:
    """How files become what a model is given: the parameters of the stages that make features of them."""
    sections = {name: getattr(params, name).model_dump() for name in ("audio", "video", "faces")}
    return sections | {"clip_seconds": params.data.clip_seconds}
