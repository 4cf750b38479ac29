"""Checkpoints of the published CAV-MAE code (YuanGongND/cav-mae) under our names."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from models import checkpoint
from models.joint.cav_mae import SIDES
from models.parts.hub import read_weights
from pipeline.errors import UserError

SHORT = {"a": "audio", "v": "video"}
# Their names and ours: s is a side, n a layer, m a norm, w weight or bias, r the rest.
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
# Layers of one modality, and of the decoder, carry norms for others there, which nothing uses.
UNUSED = re.compile(r"(blocks_[av]|decoder_blocks)\.\d+\.norm[12]_[av]\.(weight|bias)")
PARTS = {"n": r"\d+", "m": "norm[12]", "w": "weight|bias", "r": r"(?:norm[12]|attn|mlp)\..+"}
NORMALIZATION = (-5.081, 4.4849)  # of AudioSet's filterbanks, as that code has them
# What a model of theirs was trained with, in words of params.yaml.
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
FUSION = "fusion."  # where a classifier has its encoder
ROWS = 8  # of patches of the 128 bands


def _translated(name: str, back: bool = False) -> str | None:
    """Their name to ours, or `back`; None where there is no such name."""
    sides = {v: k for k, v in SHORT.items()} if back else SHORT
    for theirs, ours in NAMES:
        source, target = (ours, theirs) if back else (theirs, ours)
        pattern = re.escape(source).replace(r"\{", "{").replace(r"\}", "}")
        kinds = PARTS | {"s": "audio|video" if back else "[av]"}
        pattern = pattern.format(**{k: f"(?P<{k}>{v})" for k, v in kinds.items()})
        if match := re.fullmatch(pattern, name):
            found = match.groupdict()
            return target.format(**found | ({"s": sides[found["s"]]} if "s" in found else {}))
    return None


def renamed(state: dict[str, Tensor], path: str | Path = "checkpoint") -> dict[str, Tensor]:
    """Published names to ours; with or without the prefix `module.`.

    Raises UserError that names what is strange.
    """
    found, strange = {}, []
    for key, value in state.items():
        name = key.removeprefix("module.")
        if UNUSED.fullmatch(name):
            continue
        if ours := _translated(name):
            found[ours] = value
        else:
            strange.append(key)
    if strange:
        raise UserError(f"{path}: not a CAV-MAE checkpoint: strange {_some(strange)}")
    for side in SIDES:  # a convolution there, a linear layer on patches here, whose channels come last
        key = f"encoder.embed.{side}.weight"
        if key in found:
            if found[key].ndim != 4:
                raise UserError(f"{path}: patch_embed_{side[0]}.proj.weight is no convolution")
            found[key] = found[key].permute(0, 2, 3, 1).flatten(1)
    return found


def _some(names: Iterable[str]) -> str:
    """Keys, as they are called there."""
    names = sorted(_translated(name, back=True) or name for name in names)
    return f"{len(names)} keys, {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"


def _count(weights: dict[str, Tensor], prefix: str) -> int:
    numbers = [int(k[len(prefix) :].split(".")[0]) for k in weights if k.startswith(prefix)]
    return max(numbers, default=-1) + 1


def described(weights: dict[str, Tensor], heads: int, decoder_heads: int) -> dict:
    """config.json for renamed weights: sizes read off their shapes. Heads cannot be seen there."""
    patch = round((weights["encoder.embed.audio.weight"].shape[1]) ** 0.5)
    width = weights["encoder.embed.audio.weight"].shape[0]
    sounds, pictures = (weights[f"encoder.positions.{side}"].shape[1] for side in SIDES)
    columns, side = sounds // ROWS * patch, round(pictures**0.5) * patch
    sizes = {
        "size": "base",
        "width": width,
        "heads": heads,
        "layers": _count(weights, "encoder.towers.audio."),
        "joint_layers": _count(weights, "encoder.joint."),
        "patch": patch,
        "columns": columns,
        "normalization": list(NORMALIZATION),
    }
    pretraining = "decoder.enter.weight" in weights
    if pretraining:
        sizes |= {
            "decoder_width": weights["decoder.enter.weight"].shape[0],
            "decoder_heads": decoder_heads,
            "decoder_layers": _count(weights, "decoder.layers."),
        }
    return {
        "task": "pretraining" if pretraining else "classification",
        "encoder": "cav_mae",
        "encoders": {"audio": {}, "video": {}, "joint": sizes},
        "modality": "both",
        "label": "category",
        "seed": 0,
        "audio_shape": [1, ROWS * patch, columns],
        "video_shape": [1, side, side, 3],
        "inputs": inputs(ROWS * patch, columns, side),
        "input": "frame",
        "train": {"embedding_dim": width},
    } | ({"pretraining": PRETRAINING} if pretraining else {"classification": CLASSIFICATION, "weights": None})


def inputs(bands: int, columns: int, side: int) -> dict:
    """How the published code makes features of files, in words of params.yaml."""
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
            "height": side,
            "width": side,
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
    """Write the model of a published checkpoint to `out`, as models.checkpoint has it; return its config.

    classes: names of a fine-tuned one's outputs. one_label: a clip has one of them, and not several.
    Raises UserError that names keys which are missing, strange or of another shape; nothing is written then.
    """
    state = read_weights(path)
    weights = renamed(state, path)
    # What sizes are read from must be there first; the rest is compared with what these sizes make.
    pretraining = any(name.startswith("decoder.") for name in weights)
    needed = [f"encoder.{part}.{side}" for part in ("embed", "positions") for side in SIDES]
    needed = [f"{n}.weight" if ".embed." in n else n for n in needed]
    needed.append("decoder.enter.weight" if pretraining else "head.2.weight")
    if lacking := [name for name in needed if name not in weights]:
        raise UserError(f"{path}: not a CAV-MAE checkpoint: missing {_some(lacking)}")
    config = described(weights, heads, decoder_heads)
    if not pretraining:
        count = len(weights["head.2.weight"])
        if classes is not None and len(classes) != count:
            raise UserError(f"{path}: has {count} outputs, and {len(classes)} classes are named")
        names = classes or [f"class {i:0{len(str(count - 1))}d}" for i in range(count)]
        order = sorted(range(count), key=names.__getitem__)  # as everywhere here
        config["classes"] = [names[i] for i in order]
        for name in ("head.2.weight", "head.2.bias"):
            if name in weights:
                weights[name] = weights[name][order]
        config["classification"] = CLASSIFICATION | {"multilabel": not one_label}
    weights |= {
        "encoder.audio_mean": torch.tensor(NORMALIZATION[0]),
        "encoder.audio_std": torch.tensor(NORMALIZATION[1]),
    }
    module = checkpoint.build(config)
    own = {name.removeprefix(FUSION): value for name, value in module.state_dict().items()}
    beside = {k for k in own if not k.startswith(("encoder.", "decoder.", "head."))}  # not of that code
    told = {
        "missing": own.keys() - weights.keys() - beside,
        "strange": weights.keys() - own.keys(),
        "of another shape": {k for k in weights if k in own and weights[k].shape != own[k].shape},
    }
    if any(told.values()):
        parts = (f"{what} {_some(keys)}" for what, keys in told.items() if keys)
        raise UserError(f"{path}: not a CAV-MAE checkpoint: {'; '.join(parts)}")
    weights |= {k: own[k] for k in beside}
    names = module.state_dict().keys()
    module.load_state_dict({name: weights[name.removeprefix(FUSION)] for name in names})
    checkpoint.save(out, module, config)
    return config
