"""Convert checkpoints of the published CAV-MAE code (YuanGongND/cav-mae) to models of this project."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from models import checkpoint
from models.joint.cav_mae import SIDES
from models.parts.hub_weights import read_weights
from pipeline.errors import UserError

SIDE_LETTERS = {"a": "audio", "v": "video"}  # in published names -> in ours
# Published name of a parameter, and our name. PLACEHOLDERS says what the letters in braces stand for.
NAMES = [
    ("patch_embed_{s}.proj.{w}", "encoder.embed.{s}.{w}"),
    ("pos_embed_{s}", "encoder.positions.{s}"),
    ("modality_{s}", "encoder.modality.{s}"),
    ("blocks_{s}.{n}.{r}", "encoder.towers.{s}.{n}.{r}"),
    ("blocks_u.{n}.{m}_{s}.{w}", "encoder.joint.{n}.{m}.{s}.{w}"),
    ("blocks_u.{n}.{m}.{w}", "encoder.joint.{n}.{m}.both.{w}"),
    ("blocks_u.{n}.{r}", "encoder.joint.{n}.{r}"),
    ("norm_{s}.{w}", "encoder.norms.{s}.{w}"),
    ("norm.{w}", "encoder.norms.both.{w}"),
    ("mask_token", "decoder.mask_token"),
    ("decoder_embed.{w}", "decoder.enter.{w}"),
    ("decoder_modality_{s}", "decoder.modality.{s}"),
    ("decoder_pos_embed_{s}", "decoder.{s}_positions"),
    ("decoder_blocks.{n}.{r}", "decoder.layers.{n}.{r}"),
    ("decoder_norm.{w}", "decoder.norm.{w}"),
    ("decoder_pred_{s}.{w}", "decoder.predict.{s}.{w}"),
    ("mlp_head.0.{w}", "head.0.{w}"),
    ("mlp_head.1.{w}", "head.2.{w}"),
]
# The published layers of one modality and of the decoder contain norms of the other modalities, unused.
UNUSED = re.compile(r"(blocks_[av]|decoder_blocks)\.\d+\.norm[12]_[av]\.(weight|bias)")
PLACEHOLDERS = {  # letter -> regular expression; `s`, a side, is added where it is used
    "n": r"\d+",  # number of a layer
    "m": "norm[12]",  # a layer norm
    "w": "weight|bias",
    "r": r"(?:norm[12]|attn|mlp)\..+",  # the rest of the name
}
NORMALIZATION = (-5.081, 4.4849)  # mean and deviation of AudioSet's filterbanks in that code
# The settings of the published training, with the keys of params.yaml.
PRETRAINING = {
    "mask_ratio": 0.75,
    "mask": "random",
    "reconstruction": 1.0,
    "normalize_patches": True,
    "contrastive": 0.01,
    "temperature": 0.05,
    "both_ways": False,
}
CLASSIFICATION = {
    "fusion": "concat",
    "multilabel": True,
    "class_weights": False,
    "label_smoothing": 0.1,
    "mixup": 10.0,
    "mixup_rate": 0.5,
    "dropout": 0.0,
    "labels": 1.0,
    "start": "scratch",
    "frozen": False,
}
FUSION = "fusion."  # prefix of the encoder's parameters in a classifier
PATCH_ROWS = 8  # rows of patches over the 128 bands of a spectrogram


def _to_our_name(published_name: str) -> str | None:
    """Translate the published name of a parameter to ours. None if it is unknown."""
    return _translate(published_name, NAMES, SIDE_LETTERS)


def _to_published_name(our_name: str) -> str | None:
    """Translate our name of a parameter to the published one. None if it is unknown."""
    names = [(ours, published) for published, ours in NAMES]
    return _translate(our_name, names, {side: letter for letter, side in SIDE_LETTERS.items()})


def _translate(name: str, names: list[tuple[str, str]], sides: dict[str, str]) -> str | None:
    """Translate a name by the first pair of `names` that fits: (source, target), both with placeholders.

    sides: what `{s}` can be in the source -> what it is in the target.
    """
    expressions = PLACEHOLDERS | {"s": "|".join(sides)}
    groups = {letter: f"(?P<{letter}>{expression})" for letter, expression in expressions.items()}
    for source, target in names:
        pattern = re.escape(source).replace(r"\{", "{").replace(r"\}", "}")
        if match := re.fullmatch(pattern.format(**groups), name):
            values = match.groupdict()  # of the placeholders in the source
            if "s" in values:
                values["s"] = sides[values["s"]]
            return target.format(**values)
    return None


def rename_weights(
    published_weights: dict[str, Tensor], path: str | Path = "checkpoint"
) -> dict[str, Tensor]:
    """Convert published weights, name -> tensor, to ours. The published names may have the prefix `module.`.

    path: of the checkpoint, for error messages. Raises UserError with the unknown names.
    """
    weights, unknown = {}, []
    for key, value in published_weights.items():
        published_name = key.removeprefix("module.")
        if UNUSED.fullmatch(published_name):
            continue
        if our_name := _to_our_name(published_name):
            weights[our_name] = value
        else:
            unknown.append(key)
    if unknown:
        raise UserError(f"{path}: not a CAV-MAE checkpoint: unknown {_format_keys(unknown)}")
    # The published patch embedding is a convolution, ours a linear layer on patches with channels last.
    for side in SIDES:
        key = f"encoder.embed.{side}.weight"
        if key in weights:
            if weights[key].ndim != 4:
                raise UserError(f"{path}: patch_embed_{side[0]}.proj.weight is no convolution")
            weights[key] = weights[key].permute(0, 2, 3, 1).flatten(1)
    return weights


def _format_keys(names: Iterable[str]) -> str:
    """Return the number of names and the first five of them, as published, for an error message."""
    published = sorted(_to_published_name(name) or name for name in names)
    return f"{len(published)} keys, {', '.join(published[:5])}{', …' if len(published) > 5 else ''}"


def _count_layers(weights: dict[str, Tensor], prefix: str) -> int:
    """Return the number of layers: the names of their weights are `prefix`, the layer's number and a dot."""
    numbers = [int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix)]
    return max(numbers, default=-1) + 1


def infer_config(weights: dict[str, Tensor], heads: int, decoder_heads: int) -> dict:
    """Return config.json for renamed weights. Their shapes determine all sizes but the number of heads."""
    # The patches of spectrograms have one channel.
    width, patch_pixels = weights["encoder.embed.audio.weight"].shape
    patch = round(patch_pixels**0.5)
    audio_patches, video_patches = (weights[f"encoder.positions.{side}"].shape[1] for side in SIDES)
    bands = PATCH_ROWS * patch
    columns = audio_patches // PATCH_ROWS * patch
    frame_side = round(video_patches**0.5) * patch  # in pixels: frames are squares
    sizes = {
        "size": "base",
        "width": width,
        "heads": heads,
        "layers": _count_layers(weights, "encoder.towers.audio."),
        "joint_layers": _count_layers(weights, "encoder.joint."),
        "patch": patch,
        "columns": columns,
        "normalization": list(NORMALIZATION),
    }
    is_pretraining = "decoder.enter.weight" in weights
    if is_pretraining:
        sizes |= {
            "decoder_width": weights["decoder.enter.weight"].shape[0],
            "decoder_heads": decoder_heads,
            "decoder_layers": _count_layers(weights, "decoder.layers."),
        }
    config = {
        "task": "pretraining" if is_pretraining else "classification",
        "encoder": "cav_mae",
        "encoders": {"audio": {}, "video": {}, "joint": sizes},
        "modality": "both",
        "label": "category",
        "seed": 0,
        "audio_shape": [1, bands, columns],
        "video_shape": [1, frame_side, frame_side, 3],
        "inputs": _input_settings(bands, columns, frame_side),
        "input": "frame",
        "train": {"embedding_dim": width},
    }
    if is_pretraining:
        return config | {"pretraining": PRETRAINING}
    return config | {"classification": CLASSIFICATION, "weights": None}


def _input_settings(bands: int, columns: int, frame_side: int) -> dict:
    """Return how the published code computes features, with the keys of params.yaml.

    bands, columns: of a spectrogram. frame_side: height and width of a frame in pixels.
    """
    return {
        "audio": {
            "sample_rate": 16_000,
            "feature": "fbank",
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "n_mels": bands,
            "fmin": 20.0,
            "fmax": None,
            "dtype": "float16",
            "window_seconds": columns / 100,
        },
        "video": {
            "frames": 10,
            "height": frame_side,
            "width": frame_side,
            "window_frames": 1,
            "training_frame": "random",
        },
        "faces": {"enabled": False},
        "clip_seconds": columns / 100,
    }


def convert(
    path: str | Path,
    out: str | Path,
    classes: list[str] | None = None,
    one_label: bool = False,
    heads: int = 12,
    decoder_heads: int = 16,
) -> dict:
    """Convert a published checkpoint to a model in the folder `out`. Returns its config.json.

    path: the checkpoint. classes: names of the outputs of a fine-tuned model; None: numbers. one_label: each
    clip has one class, not several. heads, decoder_heads: attention heads; weights do not show their number.
    Raises UserError with the keys that are missing, unknown or of another shape; it writes nothing then.
    """
    weights = rename_weights(read_weights(path), path)
    is_pretraining = any(name.startswith("decoder.") for name in weights)
    # These determine the sizes. The other weights are compared with a network of these sizes.
    required = [
        *(f"encoder.embed.{side}.weight" for side in SIDES),
        *(f"encoder.positions.{s}" for s in SIDES),
    ]
    required.append("decoder.enter.weight" if is_pretraining else "head.2.weight")
    if missing := [name for name in required if name not in weights]:
        raise UserError(f"{path}: not a CAV-MAE checkpoint: missing {_format_keys(missing)}")
    config = infer_config(weights, heads, decoder_heads)
    if not is_pretraining:
        config["classes"] = _sort_outputs(weights, classes, path)
        config["classification"] = CLASSIFICATION | {"multilabel": not one_label}
    mean, std = NORMALIZATION
    weights |= {"encoder.audio_mean": torch.tensor(mean), "encoder.audio_std": torch.tensor(std)}
    module = checkpoint.build(config)
    _load_weights(module, weights, path)
    checkpoint.save(out, module, config)
    return config


def _sort_outputs(weights: dict[str, Tensor], classes: list[str] | None, path: str | Path) -> list[str]:
    """Put the outputs of a classifier in the order of the class names, as in every model of this project.

    This changes `weights`. classes: the name of each output; None: "class 0" and so on. Returns the names,
    sorted. Raises UserError if the number of names is wrong.
    """
    n_outputs = len(weights["head.2.weight"])
    if classes is not None and len(classes) != n_outputs:
        raise UserError(f"{path}: has {n_outputs} outputs, but there are {len(classes)} class names")
    n_digits = len(str(n_outputs - 1))
    names = classes or [f"class {i:0{n_digits}d}" for i in range(n_outputs)]
    order = sorted(range(n_outputs), key=names.__getitem__)
    for key in ("head.2.weight", "head.2.bias"):
        if key in weights:
            weights[key] = weights[key][order]
    return [names[i] for i in order]


def _load_weights(module: torch.nn.Module, weights: dict[str, Tensor], path: str | Path) -> None:
    """Load weights into a network. Raises UserError if they do not fit.

    Parameters that the published code does not have keep their initial values.
    """
    initial = {name.removeprefix(FUSION): value for name, value in module.state_dict().items()}
    unpublished = {name for name in initial if not name.startswith(("encoder.", "decoder.", "head."))}
    problems = {
        "missing": initial.keys() - weights.keys() - unpublished,
        "unknown": weights.keys() - initial.keys(),
        "of another shape": {
            name for name in weights if name in initial and weights[name].shape != initial[name].shape
        },
    }
    if any(problems.values()):
        descriptions = (f"{problem} {_format_keys(names)}" for problem, names in problems.items() if names)
        raise UserError(f"{path}: not a CAV-MAE checkpoint: {'; '.join(descriptions)}")
    all_weights = weights | {name: initial[name] for name in unpublished}
    module.load_state_dict({name: all_weights[name.removeprefix(FUSION)] for name in module.state_dict()})
