"""Convert checkpoints of the published CAV-MAE code (YuanGongND/cav-mae) to models of this project."""

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
# Published parameter name, our name. s: a side, n: a layer, m: a norm, w: weight or bias, r: the rest.
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
PATTERNS = {"n": r"\d+", "m": "norm[12]", "w": "weight|bias", "r": r"(?:norm[12]|attn|mlp)\..+"}
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
FUSION = "fusion."  # prefix of the encoder in a classifier
ROWS = 8  # rows of patches over the 128 bands


def _translate_name(name: str, back: bool = False) -> str | None:
    """Translate a published parameter name to ours, or `back`. None if the name is unknown."""
    sides = {v: k for k, v in SHORT.items()} if back else SHORT
    for published, ours in NAMES:
        source, target = (ours, published) if back else (published, ours)
        pattern = re.escape(source).replace(r"\{", "{").replace(r"\}", "}")
        patterns = PATTERNS | {"s": "audio|video" if back else "[av]"}
        pattern = pattern.format(**{k: f"(?P<{k}>{v})" for k, v in patterns.items()})
        if match := re.fullmatch(pattern, name):
            fields = match.groupdict()
            return target.format(**fields | ({"s": sides[fields["s"]]} if "s" in fields else {}))
    return None


def rename_weights(state: dict[str, Tensor], path: str | Path = "checkpoint") -> dict[str, Tensor]:
    """Rename published weights to our names. The published names may have the prefix `module.`.

    Raises UserError with the unknown names.
    """
    weights, unknown = {}, []
    for key, value in state.items():
        name = key.removeprefix("module.")
        if UNUSED.fullmatch(name):
            continue
        if ours := _translate_name(name):
            weights[ours] = value
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
    """Format the number of keys and their first published names."""
    names = sorted(_translate_name(name, back=True) or name for name in names)
    return f"{len(names)} keys, {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"


def _count_layers(weights: dict[str, Tensor], prefix: str) -> int:
    numbers = [int(k[len(prefix) :].split(".")[0]) for k in weights if k.startswith(prefix)]
    return max(numbers, default=-1) + 1


def infer_config(weights: dict[str, Tensor], heads: int, decoder_heads: int) -> dict:
    """Return config.json for renamed weights. Their shapes determine all sizes but the number of heads."""
    patch = round((weights["encoder.embed.audio.weight"].shape[1]) ** 0.5)
    width = weights["encoder.embed.audio.weight"].shape[0]
    sounds, pictures = (weights[f"encoder.positions.{side}"].shape[1] for side in SIDES)
    columns, side = sounds // ROWS * patch, round(pictures**0.5) * patch
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
    pretraining = "decoder.enter.weight" in weights
    if pretraining:
        sizes |= {
            "decoder_width": weights["decoder.enter.weight"].shape[0],
            "decoder_heads": decoder_heads,
            "decoder_layers": _count_layers(weights, "decoder.layers."),
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
    """Return how the published code computes features, with the keys of params.yaml."""
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
    """Convert a published checkpoint to a model in the folder `out`. Returns its config.

    classes: names of the outputs of a fine-tuned model. one_label: a clip has one class, not several.
    Raises UserError with the keys that are missing, unknown or of another shape; it writes nothing then.
    """
    state = read_weights(path)
    weights = rename_weights(state, path)
    # These determine the sizes. The other weights are compared with a network of these sizes.
    pretraining = any(name.startswith("decoder.") for name in weights)
    required = [f"encoder.{part}.{side}" for part in ("embed", "positions") for side in SIDES]
    required = [f"{n}.weight" if ".embed." in n else n for n in required]
    required.append("decoder.enter.weight" if pretraining else "head.2.weight")
    if missing := [name for name in required if name not in weights]:
        raise UserError(f"{path}: not a CAV-MAE checkpoint: missing {_format_keys(missing)}")
    config = infer_config(weights, heads, decoder_heads)
    if not pretraining:
        count = len(weights["head.2.weight"])
        if classes is not None and len(classes) != count:
            raise UserError(f"{path}: has {count} outputs, but there are {len(classes)} class names")
        names = classes or [f"class {i:0{len(str(count - 1))}d}" for i in range(count)]
        order = sorted(range(count), key=names.__getitem__)  # classes of a model are sorted
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
    initial = {name.removeprefix(FUSION): value for name, value in module.state_dict().items()}
    # The published code has no such parameters: keep their initial values.
    additional = {k for k in initial if not k.startswith(("encoder.", "decoder.", "head."))}
    problems = {
        "missing": initial.keys() - weights.keys() - additional,
        "unknown": weights.keys() - initial.keys(),
        "of another shape": {k for k in weights if k in initial and weights[k].shape != initial[k].shape},
    }
    if any(problems.values()):
        parts = (f"{problem} {_format_keys(keys)}" for problem, keys in problems.items() if keys)
        raise UserError(f"{path}: not a CAV-MAE checkpoint: {'; '.join(parts)}")
    weights |= {k: initial[k] for k in additional}
    names = module.state_dict().keys()
    module.load_state_dict({name: weights[name.removeprefix(FUSION)] for name in names})
    checkpoint.save(out, module, config)
    return config
