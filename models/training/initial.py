"""Build the network that a training begins with: random weights, or those of a trained model that fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models import checkpoint
from models.tasks._description import ENCODERS
from models.tasks._experiment import ENCODER_KEYS
from pipeline.errors import UserError

if TYPE_CHECKING:
    from models.tasks._base import Task
    from pipeline.config.train import LearningParams

# The number of patches may differ (positions are interpolated), but not what a patch contains.
# So these keys of the section `audio` must have the values that the initial model was trained with.
FIXED_KEYS = ("feature", "sample_rate", "hop_length", "win_length", "n_mels", "dtype")
MEL_KEYS = ("n_fft", "fmin", "fmax")  # and these, unless `feature` is fbank, which does not use them
LIBROSA_KEYS = {  # and these, by `feature`
    "mfcc": ("n_mfcc",),
    "cqt": ("n_bins", "bins_per_octave"),
    "pcen": ("pcen_gain", "pcen_bias", "pcen_power", "pcen_time_constant"),
    "chroma": ("n_chroma",),
}
WAVEFORM_KEYS = ("feature", "sample_rate")  # only these, if `feature` is waveform
# Part of a model -> the key of config.json that must be equal, so that a part means the same in two models.
# For other parts it is the key with the part's name (`matcher`, `loss`), if there is one.
PART_KEYS = ENCODER_KEYS | {"head": "classes", "decoder": "encoder"}
COUNTER = "num_batches_tracked"  # of a batch norm: no weight, and it fits everywhere
LORA_INFIX = ".base_layer."  # in the name of a weight to which peft adds a low-rank product
# Setting -> the method of an encoder that it needs.
METHODS = {"layer_decay": "layer_groups", "gradient_checkpointing": "set_gradient_checkpointing"}


@dataclass(frozen=True)
class Start:
    """A trained model that a training starts from.

    key, name: of params.yaml, and its value, for messages: `train.start` and `../bells`. folder: its files.
    """

    key: str
    name: str
    folder: Path

    def error(self, message: str) -> UserError:
        """Return an error in one line that says where the model comes from."""
        return UserError(f"{self.key}: {self.name}: {message}")


@dataclass
class Transfer:
    """What a new model takes from a trained one.

    weights: name in the new model -> value. counts: part of the new model -> how many weights it takes, and
    how many it has. reasons: part of the new model -> why it takes nothing. rest: part of the trained model
    -> how many of its weights are not used.
    """

    weights: dict[str, Tensor]
    counts: dict[str, tuple[int, int]]
    reasons: dict[str, str]
    rest: dict[str, int]

    def describe(self) -> str:
        """Return `audio encoder 42 of 42 weights, head 0 of 4 (other classes); not used: matcher 2`."""
        phrases = []
        for part, (count, total) in self.counts.items():
            reason = f" ({self.reasons[part]})" if part in self.reasons else ""
            phrases.append(f"{ENCODERS.get(part, part)} {count} of {total}{reason}")
        phrases[0] = (
            phrases[0].replace(" (", " weights (", 1) if " (" in phrases[0] else f"{phrases[0]} weights"
        )
        unused = ", ".join(
            f"{ENCODERS.get(part, part)} {count}" for part, count in self.rest.items() if count
        )
        return ", ".join(phrases) + (f"; not used: {unused}" if unused else "")


# --- the model to start from --------------------------------------------------------------------------


def load_start(start: Start, config: dict[str, Any]) -> checkpoint.Model:
    """Load the model that a training starts from.

    config: the content of the new model's config.json. Raises UserError if the model cannot be loaded, or if
    the new model has an encoder of both modalities that the trained one does not suit.
    """
    try:
        model = checkpoint.load(start.folder)
    except Exception as e:  # the configuration of another version can fail anywhere in the network
        reason = " ".join(str(e).removeprefix(f"{start.folder}: ").split())[:200]
        raise start.error(reason or type(e).__name__) from None
    if config.get("encoder"):
        _check_encoders(start, model, config, ["joint"])
    return model


def _check_encoders(start: Start, model: checkpoint.Model, config: dict[str, Any], parts: list[str]) -> None:
    """Raise UserError if a trained model has no encoder of the new one, or was trained on other features.

    config: the content of the new model's config.json. parts: of its encoders.
    """
    shared = [
        part for part in parts if part in model.module.encoder_paths and _is_same(part, model.config, config)
    ]
    if not shared:
        raise start.error(_describe_misfit(model, config, parts))
    if "audio" in shared or "joint" in shared:
        _check_features(start, model.config["inputs"]["audio"], config["inputs"]["audio"])


def _describe_misfit(model: checkpoint.Model, config: dict[str, Any], parts: list[str]) -> str:
    """Say which encoders a trained model has, and which ones the new one. The arguments are the caller's."""
    had = _describe_encoders(model.config, [*model.module.encoder_paths])
    return f"no weight of its encoders fits: it has {had}, and not {_describe_encoders(config, parts)}"


def _check_features(start: Start, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise UserError if the features of the trained model, `old`, are not those of the new one."""
    feature = new["feature"]
    keys = {"fbank": FIXED_KEYS, "waveform": WAVEFORM_KEYS}.get(feature, FIXED_KEYS + MEL_KEYS)
    keys += LIBROSA_KEYS.get(feature, ())
    differences = [
        f"audio.{key} {old.get(key)}, not {new.get(key)}" for key in keys if old.get(key) != new.get(key)
    ]
    if differences:
        raise start.error(f"was trained with {', '.join(differences)}")


def take_joint_sizes(config: dict[str, Any], model: checkpoint.Model | None) -> dict[str, Any]:
    """Return the new model's config.json, `config`, with the sizes of the encoder that it starts from.

    Only an encoder of both modalities takes the sizes of the trained model, apart from the number of
    spectrogram columns (0: as many as the data have), which `config` sets.
    """
    if model is None or not config.get("encoder"):
        return config
    # No published weights are loaded: those of `model` would replace them.
    overrides = {"columns": config["encoders"]["joint"].get("columns", 0), "pretrained": False}
    sizes = model.config["encoders"]["joint"] | overrides
    return config | {"encoders": config["encoders"] | {"joint": sizes}}


# --- the new model ------------------------------------------------------------------------------------


def build_module(config: dict[str, Any], settings: "LearningParams", seed: int) -> "Task":
    """Build the task's module with random or published weights.

    config: the content of config.json. settings: the section of params.yaml with those of the training.
    Raises UserError if settings need an encoder of another kind.
    """
    torch.manual_seed(seed)
    module: Any = checkpoint.build(config)
    module.train()  # Lightning does not call it, and frozen networks override it to stay in evaluation mode
    for name in ("encoder", "decoder"):
        network = getattr(module, name, None)  # only some tasks have them
        if network is not None:
            network.gradient_checkpointing = settings.gradient_checkpointing
    encoders = {
        part: module.get_submodule(path) for part, path in module.encoder_paths.items() if part != "joint"
    }
    if encoders and settings.gradient_checkpointing:
        _check_method("gradient_checkpointing", encoders, config)
        _switch_on_checkpointing(encoders)
    if encoders and settings.layer_decay != 1:
        _check_method("layer_decay", encoders, config)
    return module


def _check_method(setting: str, encoders: dict[str, nn.Module], config: dict[str, Any]) -> None:
    """Raise UserError if none of the encoders has the method that a setting needs. encoders: by part."""
    if not any(hasattr(encoder, METHODS[setting]) for encoder in encoders.values()):
        names = _describe_encoders(config, [*encoders])
        raise UserError(
            f"train.{setting} does not go with {names}: use encoder: cav_mae, or an encoder of a library,"
            " such as timm/<name>"
        )


def _switch_on_checkpointing(encoders: dict[str, nn.Module]) -> None:
    """Switch on gradient checkpointing of those encoders whose network can do it. encoders: by part.

    Raises UserError if none can.
    """
    errors = []
    with_method = [
        encoder for encoder in encoders.values() if hasattr(encoder, METHODS["gradient_checkpointing"])
    ]
    for encoder in with_method:
        try:
            encoder.set_gradient_checkpointing(True)
        except UserError as e:
            errors.append(e)
    if len(errors) == len(with_method):
        raise errors[0]


def transfer_weights(
    module: "Task", config: dict[str, Any], model: checkpoint.Model, start: Start, only_encoders: bool
) -> Transfer:
    """Copy weights of a trained model into a new one: all whose part, name and shape fit.

    module, config: the new model, and the content of its config.json. model, start: the trained one.
    only_encoders: leave out other parts, such as the head. Raises UserError if no weight of an encoder fits.
    """
    parts = [*module.encoder_paths]
    _check_encoders(start, model, config, parts)
    transfer = _match_weights(module, config, model, only_encoders)
    if "joint" in transfer.counts:
        # Positions are interpolated if the inputs have another size.
        module.encoder.load_resized(model.module.encoder.state_dict(), model.module.encoder.grid)
        total = transfer.counts["joint"][1]
        transfer.counts["joint"], transfer.rest["joint"] = (total, total), 0
        path = module.encoder_paths["joint"]
        transfer.weights = {
            name: value for name, value in transfer.weights.items() if not name.startswith(f"{path}.")
        }
    elif not any(transfer.counts[part][0] for part in parts):
        raise start.error(_describe_misfit(model, config, parts))
    module.load_state_dict(transfer.weights, strict=False)
    return transfer


def _match_weights(
    module: "Task", config: dict[str, Any], model: checkpoint.Model, only_encoders: bool
) -> Transfer:
    """Find the weights of a trained model that a new one takes. The arguments are those of the caller."""
    old: dict[tuple[str, str], Tensor] = {}
    rest: dict[str, int] = {}
    for part, name, _, value in _list_weights(model.module):
        old[part, name] = value
        rest[part] = rest.get(part, 0) + 1
    transfer = Transfer({}, {}, {}, rest)
    for part, name, full_name, value in _list_weights(module):
        is_wanted = part in module.encoder_paths or not only_encoders
        if is_wanted and part in rest and not _is_same(part, model.config, config):
            transfer.reasons[part] = _describe_difference(part, model.config, config)
            is_wanted = False
        count, total = transfer.counts.get(part, (0, 0))
        candidate = old.get((part, name)) if is_wanted else None
        if candidate is not None and candidate.shape == value.shape:
            transfer.weights[full_name] = candidate
            rest[part] -= 1
            count += 1
        if is_wanted or part in transfer.reasons or part in module.encoder_paths:
            transfer.counts[part] = count, total + 1
    return transfer


def _list_weights(module: Any) -> Iterator[tuple[str, str, str, Tensor]]:
    """Yield each weight of a model: its part, its name in the part, its full name, and its value.

    The part is "audio", "video" or "joint" for encoders, otherwise the name of an attribute such as `head`.
    Values that are no part's, such as the calibration of a score, and counters of batch norms are left out.
    """
    for full_name, value in module.state_dict().items():
        part, dot, name = full_name.partition(".")
        for encoder, path in module.encoder_paths.items():
            if full_name.startswith(f"{path}."):
                part, name = encoder, full_name.removeprefix(f"{path}.")
        if dot and not name.endswith(COUNTER):
            yield part, name.replace(LORA_INFIX, "."), full_name, value


def _is_same(part: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether a part means the same in two models. old, new: the content of their config.json."""
    key = PART_KEYS.get(part, part)
    towers = [config.get("towers", {}).get(part) for config in (old, new)]  # of the encoder `cached`
    return old.get(key) == new.get(key) and towers[0] == towers[1]


def _describe_difference(part: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Say why a part of the new model takes nothing from that of the old one: `frame there, cnn here`."""
    key = PART_KEYS.get(part, part)
    if part == "head" or old.get(key) == new.get(key):
        return f"other {'classes' if part == 'head' else 'towers'}"
    return f"{old.get(key) or 'another'} there, {new.get(key)} here"


def _describe_encoders(config: dict[str, Any], parts: list[str]) -> str:
    """Return a phrase such as `audio_encoder: cnn and video_encoder: frame {'width': 8}`.

    config: the content of config.json. parts: those of the encoders to describe.
    """
    phrases = []
    for part in parts:
        sizes = dict(config["encoders"].get(part, {}))
        sizes.pop("definition", None)  # long, and the same if the name is the same
        phrases.append(
            f"{ENCODER_KEYS[part]}: {config.get(ENCODER_KEYS[part])}" + (f" {sizes}" if sizes else "")
        )
    return " and ".join(phrases) or "no encoder"
