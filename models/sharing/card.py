"""The model card of an export: README.md for Hugging Face, from the files of the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from markupsafe import Markup

from models.sharing.git_source import Origin
from models.tasks import tasks
from models.tasks._description import Description
from models.tasks._experiment import ENCODER_KEYS, PRETRAINED
from pipeline.report.data_sources import describe_source
from pipeline.report.markdown import render_markdown
from pipeline.report.terminal_table import metric_rows

METRICS = {"auc": "roc_auc", "f1_macro": "f1", "map": "mean_average_precision"}  # names on Hugging Face
PERSONAL = ("subject", "emotion")  # labels that describe a person


def render(
    name: str, config: dict[str, Any], labels: list[str], n_parameters: int, origin: Origin, repo: str | None
) -> str:
    """Return the text of the model card.

    name: of the export. config: the content of its config.json. labels: of the model's classes or of its
    data. n_parameters: how many weights the model has. origin: its training run. repo: where it will be on
    Hugging Face, USER/REPO; None if it is not uploaded.
    Labels and parameters are escaped: they cannot add markup to the card.
    """
    description = tasks.get(config["task"]).describe(config)
    source = describe_source(origin.data.get("source"))
    return render_markdown(
        Path(__file__).with_name("card_template.md"),
        front=Markup(_front_matter(config, description, origin).to_yaml()),
        name=name,
        place=Markup(repo or f"path/to/{name}"),  # both were validated and need no escaping
        config=config,
        description=description,
        labels=labels,
        size=n_parameters,
        origin=origin,
        source=source.text,
        synthetic=source.is_synthetic,
        is_trained=is_trained(config),
        is_pretrained=_is_pretrained(config),
        training=list(_training_rows(config, description, origin.params)),
        inputs=list(_input_rows(config)),
        metrics=list(_metric_rows(origin.metrics)),
        is_personal=config["input"] == "face" or config.get("label") in PERSONAL,
    )


def is_trained(config: dict[str, Any]) -> bool:
    """Return whether Earsight trained the weights. Otherwise they were converted from another project."""
    return "chosen" in config  # the best epoch, which training writes to config.json


def _is_pretrained(config: dict[str, Any]) -> bool:
    """Return whether the training started from weights of another project."""
    networks = [(config.get(ENCODER_KEYS[side]), keywords) for side, keywords in config["encoders"].items()]
    networks += [
        tower for features in config.get("features", {}).values() for tower in features["towers"].items()
    ]
    # Networks of Hugging Face have published weights unless `pretrained` is false.
    has_pretrained_encoder = any(
        keywords.get("pretrained", (name or "").startswith("hf/")) for name, keywords in networks
    )
    # It is where the weights of the whole model come from: PRETRAINED is this project's pretraining.
    initial_model = tasks.get(config["task"]).experiment_type.from_config(config).initial_model_folder
    is_started = bool(config["train"].get("start")) or initial_model not in (None, PRETRAINED)
    return has_pretrained_encoder or is_started


def _format_number(value: float | None) -> Markup:
    return Markup("" if value is None else f"{value:.3f}")


def _metric_rows(metrics: dict[str, Any]) -> Iterator[tuple[str, Markup, str, Markup, int]]:
    """Yield (name, value, 95% interval, chance, n) of the metrics that metrics/evaluate.json has."""
    for key, value, ci, chance, n in metric_rows(metrics):
        interval = f"{_format_number(ci[0])} to {_format_number(ci[1])}" if ci else ""
        yield key, _format_number(value), interval, _format_number(chance), n


def _front_matter(config: dict[str, Any], description: Description, origin: Origin) -> ModelCardData:
    """Return the properties at the beginning of the card, which Hugging Face reads."""
    modalities = ["audio", "video"] if config["modality"] == "both" else [config["modality"]]
    # The last part of a key is the name of the metric; many keys have the same.
    metrics = dict.fromkeys(key.rpartition(".")[2] for key, *_ in metric_rows(origin.metrics))
    return ModelCardData(
        license="mit" if is_trained(config) else "other",
        library_name="earsight",
        pipeline_tag=description.pipeline_tag,
        tags=["earsight", config["task"], *modalities, "onnx", "safetensors"],
        metrics=[METRICS.get(key, key) for key in metrics] or None,
    )


def _training_rows(
    config: dict[str, Any], description: Description, params: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of all settings of the training. params: of the stage that trained the model."""
    yield "task", config["task"]
    yield "modality, input", f"{config['modality']}, {config['input']}"
    for name, value in description.settings.items():
        yield name, _format_dict(value) if isinstance(value, dict) else str(value)
    yield "training", _format_dict(config["train"])
    if augment := params.get("augment"):
        yield "augmentation", _format_dict(augment)
    yield "seed", str(config["seed"])
    if best := config.get("chosen"):
        yield "best epoch", f"{best['best_epoch']} of {best['epochs']}"


FEATURES = {  # audio.feature -> description
    "mel": "decibels of the power in librosa's mel bands",
    "stft": "real and imaginary part of librosa's STFT",
    "log_spectrogram": "logarithm of the magnitude of librosa's STFT",
    "log_frequency": "decibels of the power in bands evenly spaced in log frequency",
    "fbank": "Kaldi's log mel filterbank",
    "mfcc": "librosa's mel-frequency cepstral coefficients",
    "cqt": "decibels of librosa's constant-Q transform",
    "pcen": "librosa's mel bands after per-channel energy normalization",
    "chroma": "librosa's energy of the pitch classes",
    "waveform": "samples, in columns of hop_length",
}


def _input_rows(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of all settings by which a file becomes the input of the network."""
    audio, video = config["inputs"]["audio"], config["inputs"]["video"]
    if config["modality"] != "video":
        feature = FEATURES[audio["feature"]]
        as_bytes = ", as bytes" if audio["dtype"] == "uint8" else ""
        description = f"{feature}, of mono sound of -1 to 1{as_bytes}, in single precision"
        yield "audio", f"{description}: (batch, channels, frequencies in ascending order, time)"
        yield "audio parameters", _format_dict(audio)
    if config["modality"] != "audio":
        picture = "the largest face, cropped" if config["input"] == "face" else "frames, cropped"
        yield "video", f"{picture} and scaled, RGB of 0 to 255: (batch, frames, height, width, 3)"
        yield "video parameters", _format_dict(video)
        if config["input"] == "face":
            yield "face parameters", _format_dict(config["inputs"]["faces"])


def _format_dict(values: dict[str, Any]) -> str:
    """Format settings {"a": 1, "b": {"c": 2}} as `a 1, b (c 2)`. Settings that are None are left out."""
    entries = []
    for key, value in values.items():
        if isinstance(value, dict):
            nested = _format_dict(value)
            entries.append(f"{key} ({nested})" if nested else str(key))
        elif value is not None:
            entries.append(f"{key} {value}")
    return ", ".join(entries)
