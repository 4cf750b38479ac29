"""Descriptions of a model for people: in the report, in the model card, and in the name of an export."""

from dataclasses import dataclass, field
from typing import Any

NOUNS = {"audio": "sounds", "video": "pictures", "both": "sounds and pictures"}  # by modality
ENCODERS = {"audio": "audio encoder", "video": "video encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Texts that describe one model.

    In the report:
    question: the headline. summary: what was trained, printed after "400 clips of my videos: ".
    facts: name -> value, at the top of the page.
    In the model card:
    purpose: a sentence. example: Python code that uses a `model` from `earsight.load`. settings: rows of the
    table of what was trained, name -> value, or name -> dictionary for a component with settings. limit: a
    sentence, if any. outputs: what the ONNX files compute. pipeline_tag: Hugging Face's name of the task.
    In the name of an export:
    title: its parts.
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
        """Describe a model by its encoders alone.

        config: the content of config.json. names: the result of `encoders`, if it should be another one.
        """
        names, sizes = encoders(config) if names is None else names, config["encoders"]
        return cls(
            question="Which sound belongs to which picture?",
            summary=f"{describe_encoders(config)}, trained for the task {config['task']}",
            facts={ENCODERS[kind].capitalize(): name for kind, name in names.items()},
            purpose=f"Embeds {NOUNS[config['modality']]}.",
            settings={ENCODERS[kind]: {name: sizes.get(kind, {})} for kind, name in names.items()},
            title=(config["task"], *names.values()),
        )


def encoders(config: dict[str, Any]) -> dict[str, str]:
    """Return the names of the encoders in use, under "joint" (of both modalities) or "audio" and "video"."""
    if config.get("encoder"):
        return {"joint": config["encoder"]}
    names = {side: config.get(f"{side}_encoder") for side in ("audio", "video")}
    return {side: name for side, name in names.items() if name and config["modality"] in (side, "both")}


def describe_encoders(config: dict[str, Any]) -> str:
    """Return a phrase such as `an encoder cnn for sounds and frame for pictures`."""
    nouns = NOUNS | {"joint": {"both": "both"}.get(config["modality"], NOUNS[config["modality"]])}
    parts = [f"{name} for {nouns[kind]}" for kind, name in encoders(config).items()]
    return f"an encoder {' and '.join(parts)}" if parts else "a network"
