"""The model card of an export: README.md as Hugging Face shows it, from the run's own files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.sharing.git_source import Origin
from models.tasks import tasks
from models.tasks._description import Description
from models.tasks._experiment import PRETRAINED
from pipeline.report.terminal_table import rows

SOURCES = {  # data.source: what it is, and whether it was rendered
    "ensemble": ("musical instruments, drawn and played by Earsight itself", True),
    "people": ("talking heads, drawn and voiced by Earsight itself", True),
    "audioset": ("AudioSet: sections of YouTube videos, labelled by people", False),
    "crema_d": ("CREMA-D: actors who speak sentences with different emotions", False),
    "voxceleb": ("VoxCeleb: faces and voices of celebrities, from interviews", False),
    "folder": ("a folder of videos of whoever trained it", False),
}
METRICS = {"auc": "roc_auc", "f1_macro": "f1", "map": "mean_average_precision"}  # as Hugging Face calls them
PERSONAL = ("subject", "emotion")  # labels that say something of a person


def render(
    name: str, config: dict[str, Any], labels: list[str], size: int, origin: Origin, repo: str | None
) -> str:
    """The card of a model. config: as in the export's config.json. size: how many parameters. repo: where it
    will lie on Hugging Face. Whatever comes from labels and parameters stays text."""
    # Jinja's own escaping is HTML's; `finalize` sees every value that the template prints.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["own"] = Markup  # words of the template and of this module
    own = origin.data.get("source")
    description = tasks.get(config["task"]).describe(config)
    source, rendered = SOURCES.get(own or "", (own, False))
    return environment.get_template("card_template.md").render(
        front=Markup(_front(config, description, origin).to_yaml()),
        name=name,
        place=Markup(repo or f"path/to/{name}"),  # both are checked: nothing in them needs escaping
        config=config,
        description=description,
        labels=labels,
        size=size,
        origin=origin,
        source=source,
        rendered=rendered,
        trained=trained(config),
        begun=_begun(config),
        training=list(_training(config, description, origin.params)),
        inputs=list(_inputs(config)),
        metrics=[
            (key, _number(value), f"{_number(ci[0])} to {_number(ci[1])}" if ci else "", _number(chance), n)
            for key, value, ci, chance, n in rows(origin.metrics)
        ],
        personal=config["input"] == "face" or config.get("label") in PERSONAL,
    )


def trained(config: dict[str, Any]) -> bool:
    """Whether the weights are of a training with Earsight, and not converted from somebody else's."""
    return "chosen" in config


def _begun(config: dict[str, Any]) -> bool:
    """Whether the training began with weights from elsewhere."""
    start = tasks.get(config["task"]).experiment_type.from_config(config).start
    pretrained = any(sizes.get("pretrained") for sizes in config["encoders"].values())
    return pretrained or start not in (None, PRETRAINED)


def _text(value: Any) -> Any:
    """A value as Markdown that shows just that: on one line, and every mark escaped."""
    if isinstance(value, Markup | int | float):
        return value
    line = " ".join(str(value).split())
    return re.sub(r"([!#$&*<=>@\[\\\]^_`{|}~]|:(?=//)|(?<=www)\.)", r"\\\1", line)


def _number(value: float | None) -> Markup:
    return Markup("" if value is None else f"{value:.3f}")


def _front(config: dict[str, Any], description: Description, origin: Origin) -> ModelCardData:
    sides = ["audio", "video"] if config["modality"] == "both" else [config["modality"]]
    measured = dict.fromkeys(key.rpartition(".")[2] for key, *_ in rows(origin.metrics))
    return ModelCardData(
        license="mit" if trained(config) else "other",
        library_name="earsight",
        pipeline_tag=description.pipeline_tag,
        tags=["earsight", config["task"], *sides, "onnx", "safetensors"],
        metrics=[METRICS.get(key, key) for key in measured] or None,
    )


def _training(
    config: dict[str, Any], description: Description, params: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """(what, value) of all that decided over the model."""
    yield "task", config["task"]
    yield "modality, input", f"{config['modality']}, {config['input']}"
    for name, value in description.settings.items():
        yield name, _listed(value) if isinstance(value, dict) else str(value)
    yield "training", _listed(config["train"])
    if augment := params.get("augment"):
        yield "augmentation", _listed(augment)
    yield "seed", str(config["seed"])
    if chosen := config.get("chosen"):
        yield "epoch that was kept", f"{chosen['best_epoch']} of {chosen['epochs']}"


FEATURES = {
    "mel": "decibels of the power in mel bands, as librosa has them",
    "stft": "real and imaginary part of librosa's STFT",
    "log_spectrogram": "logarithm of the magnitude of librosa's STFT",
    "log_frequency": "decibels of the power in bands evenly spaced in log frequency",
    "fbank": "Kaldi's log mel filterbank",
}


def _inputs(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what, value) of how a file becomes what the network is given."""
    audio, video = config["inputs"]["audio"], config["inputs"]["video"]
    if config["modality"] != "video":
        feature, as_bytes = FEATURES[audio["feature"]], ", as bytes" if audio["dtype"] == "uint8" else ""
        told = f"{feature}, of mono sound of -1 to 1{as_bytes}, in single precision"
        yield "audio", f"{told}: (batch, channels, frequencies from the lowest up, time)"
        yield "its parameters", _listed(audio)
    if config["modality"] != "audio":
        what = "the largest face, cut out" if config["input"] == "face" else "frames, cut"
        yield "video", f"{what} and scaled, RGB of 0 to 255: (batch, frames, height, width, 3)"
        yield "its parameters", _listed(video)
        if config["input"] == "face":
            yield "of the face", _listed(config["inputs"]["faces"])


def _listed(values: dict[str, Any]) -> str:
    """As `a 1, b 2 (c 3)`."""
    found = []
    for key, value in values.items():
        inside = _listed(value) if isinstance(value, dict) else value
        if isinstance(value, dict):
            found.append(f"{key} ({inside})" if inside else str(key))
        elif value is not None:
            found.append(f"{key} {inside}")
    return ", ".join(found)
