"""Descriptions of a model for people: in the report, in the model card, and in the name of an export."""

from dataclasses import dataclass, field
from typing import Any

from models.parts.definitions import without_definition

NOUNS = {"audio": "sounds", "video": "pictures", "both": "sounds and pictures"}  # by modality
# What people read for each kind of encoder; `joint` is the encoder of both modalities.
ENCODERS = {"audio": "audio encoder", "video": "video encoder", "joint": "encoder"}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Texts that describe one model.

    In the report:
    question: the headline. summary: a phrase that says what was trained; the report prints it after
    "400 clips of my videos: ". facts: name -> value, at the top of the page.
    In the model card:
    purpose: a sentence that says what the model does. example: Python code that uses the variable `model`,
    which `earsight.load` returned. settings: rows of the table of settings: name -> value, or name -> {name
    of a component: its settings}. limit: a sentence that says what the model cannot do; may be empty.
    outputs: sentences that say what the ONNX files compute. pipeline_tag: Hugging Face's name of the task.
    In the name of an export:
    title: the words of the name.
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
        """Describe a model by its task and its encoders alone.

        config: the content of config.json. names: kind of encoder ("audio", "video" or "joint") -> name of
        the encoder to describe; None: all encoders that the model uses.
        """
        names = encoder_names(config) if names is None else names
        sizes = config["encoders"]
        return cls(
            question="Which sound belongs to which picture?",
            summary=f"{describe_encoders(config)}, trained for the task {config['task']}",
            facts={ENCODERS[kind].capitalize(): name for kind, name in names.items()},
            purpose=f"Embeds {NOUNS[config['modality']]}.",
            settings={
                ENCODERS[kind]: {name: without_definition(sizes.get(kind, {}))}
                for kind, name in names.items()
            },
            title=(config["task"], *names.values()),
        )


def encoder_names(config: dict[str, Any]) -> dict[str, str]:
    """Return the names of the encoders that a model uses.

    config: the content of config.json. The keys of the result are "joint" (one encoder of both modalities),
    or else "audio", "video" or both of them.
    """
    if config.get("encoder"):
        return {"joint": config["encoder"]}
    names = {modality: config.get(f"{modality}_encoder") for modality in ("audio", "video")}
    return {
        modality: name
        for modality, name in names.items()
        if name and config["modality"] in (modality, "both")
    }


def describe_encoders(config: dict[str, Any]) -> str:
    """Return a phrase such as `an encoder cnn for sounds and frame for pictures`.

    config: the content of config.json.
    """
    joint_noun = "both" if config["modality"] == "both" else NOUNS[config["modality"]]
    nouns = NOUNS | {"joint": joint_noun}
    phrases = [f"{name} for {nouns[kind]}" for kind, name in encoder_names(config).items()]
    return f"an encoder {' and '.join(phrases)}" if phrases else "a network"
