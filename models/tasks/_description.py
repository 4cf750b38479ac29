"""What people read of a model: in the report, in the model card, and in the name of an export."""

from dataclasses import dataclass, field
from typing import Any

NOUNS = {"audio": "sounds", "video": "pictures", "both": "sounds and pictures"}  # by modality
ENCODERS = {"audio": "audio encoder", "video": "video encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Words about one model.

    In the report. question: the headline. summary: what was trained, to follow "400 clips of my videos: ".
    facts: what stands at the top, name -> value.
    In the model card. purpose: a sentence. example: Python that asks a `model` of `earsight.load`. settings:
    rows of the table of what was trained, name -> value; a dictionary for what has settings itself. limit: a
    sentence, if any. outputs: what the ONNX files give. pipeline_tag: Hugging Face's name of the task.
    title: parts of the name of an export.
    """

    question: str
    summary: str
    facts: dict[str, Any]
    purpose: str
    example: str = 'print(model.embed("clip.mp4"))'
    settings: dict[str, Any] = field(default_factory=dict)
    limit: str = ""
    outputs: str = "Embeddings have length 1."
    pipeline_tag: str = "feature-extraction"
    title: tuple[str, ...]

    @classmethod
    def from_encoders(cls, config: dict[str, Any], names: dict[str, str] | None = None) -> "Description":
        """Describe a model by its encoders alone. config: as in config.json. names: as of `encoders`."""
        names, sizes = encoders(config) if names is None else names, config["encoders"]
        return cls(
            question="Which sound belongs to which picture?",
            summary=f"{describe_encoders(config)}, trained for the task {config['task']}",
            facts={ENCODERS[kind].capitalize(): name for kind, name in names.items()},
            purpose=f"Makes vectors of {NOUNS[config['modality']]}.",
            settings={ENCODERS[kind]: {name: sizes.get(kind, {})} for kind, name in names.items()},
            title=(config["task"], *names.values()),
        )


def encoders(config: dict[str, Any]) -> dict[str, str]:
    """The names of the encoders in use: "joint", of both modalities, or "audio" and "video"."""
    if config.get("encoder"):
        return {"joint": config["encoder"]}
    names = {side: config.get(f"{side}_encoder") for side in ("audio", "video")}
    return {side: name for side, name in names.items() if name and config["modality"] in (side, "both")}


def describe_encoders(config: dict[str, Any]) -> str:
    """As `an encoder cnn for sounds and frame for pictures`."""
    nouns = NOUNS | {"joint": {"both": "both"}.get(config["modality"], NOUNS[config["modality"]])}
    parts = [f"{name} for {nouns[kind]}" for kind, name in encoders(config).items()]
    return f"an encoder {' and '.join(parts)}" if parts else "a network"
