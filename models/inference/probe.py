"""Linear probing: how well a linear classifier tells labels apart by what a frozen network's layers give."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from models.components import ENCODERS
from models.registry import Registry
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import classification

BATCH = 32
MAX_LAYERS = 4  # blocks of a network that are probed, evenly spaced, besides its output
REGULARIZATIONS = (0.01, 0.1, 1.0)  # C of the logistic regression: validation clips choose
OUTPUT = "output"  # the name of the layer whose vectors towers store


@dataclass(frozen=True)
class ProbeResult:
    """The result of one layer. metrics: of classification of the test split. seconds: of one clip."""

    network: str
    layer: str
    n_features: int
    metrics: dict[str, Any]
    seconds: float


def probe(
    data: Dataset, side: str, networks: dict[str, dict[str, Any]], label: str, bootstrap: int, seed: int
) -> Iterator[ProbeResult]:
    """Probe networks on the middle windows of clips; yield the result of each layer.

    side: "audio" or "video". networks: name -> keywords of the encoder. label: which column has the classes;
    clips with exactly one label count. bootstrap: number of resamples for an interval.
    Raises UserError if a network cannot be loaded, or if there are fewer than two classes.
    """
    labels = data.class_names(label)
    clips = {
        split: np.array([clip for clip in data.indices(split) if len(labels[clip]) == 1], int)
        for split in ("train", "val", "test")
    }
    classes = sorted({labels[clip][0] for clip in clips["train"]})
    if len(classes) < 2 or not len(clips["test"]):
        counts = ", ".join(f"{len(indices)} {split}" for split, indices in clips.items())
        raise UserError(f"label: {label}: {counts} clips with one label, {len(classes)} classes: too few")
    numbers = {name: i for i, name in enumerate(classes)}
    clips = {
        split: np.array([clip for clip in indices if labels[clip][0] in numbers], int)
        for split, indices in clips.items()
    }
    targets = {
        split: np.array([numbers[labels[clip][0]] for clip in indices]) for split, indices in clips.items()
    }
    registry: Registry = ENCODERS[f"{side}_encoder"]
    shape = data.audio_shape if side == "audio" else data.video_shape
    for name, keywords in networks.items():
        torch.manual_seed(seed)
        encoder = registry.make(name, shape, 1, **keywords | {"trainable": "none"}).eval()
        begin = time.perf_counter()
        features = {split: _compute_layers(encoder, data, indices, side) for split, indices in clips.items()}
        seconds = (time.perf_counter() - begin) / sum(map(len, clips.values()))
        for layer, vectors in features["train"].items():
            by_split = {split: layers[layer] for split, layers in features.items() if layers}
            probabilities = _fit_and_predict(by_split, targets)
            is_class = targets["test"][:, None] == np.arange(len(classes))
            groups = data.group[clips["test"]].tolist()
            metrics = classification.evaluate(probabilities, is_class, False, groups, bootstrap, seed)
            yield ProbeResult(name, layer, vectors.shape[1], metrics, seconds)


def _fit_and_predict(features: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> np.ndarray:
    """Fit a logistic regression on "train", and return the probabilities (n, classes) of "test".

    "val" chooses its regularization, if there are clips.
    """
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(
            features["train"], targets["train"]
        )
        for c in (REGULARIZATIONS if "val" in features else REGULARIZATIONS[1:2])
    ]
    if "val" in features:
        models.sort(key=lambda model: -model.score(features["val"], targets["val"]))
    return models[0].predict_proba(features["test"])


@torch.inference_mode()
def _compute_layers(encoder: Any, data: Dataset, clips: np.ndarray, side: str) -> dict[str, np.ndarray]:
    """Return layer -> mean over all places of its output, (clips, n); empty without clips."""
    modules = _select_blocks(encoder)
    outputs: dict[str, list[Tensor]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, output, name=name: outputs.setdefault(name, []).append(_pool(output))
        )
        for name, module in modules.items()
    ]
    for i in range(0, len(clips), BATCH):
        audio, video = data.read(clips[i : i + BATCH])
        vectors = encoder.compute_features(torch.from_numpy(audio if side == "audio" else video))
        outputs.setdefault(OUTPUT, []).append(vectors)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(blocks).float().numpy() for name, blocks in outputs.items()}


def _select_blocks(encoder: Any) -> dict[str, nn.Module]:
    """Return name -> module of at most MAX_LAYERS blocks of the encoder's network, evenly spaced."""
    paths: dict[str, None] = {}  # an ordered set
    for names in encoder.layer_groups():
        parts = zip(*(name.split(".")[:-1] for name in names), strict=False)
        path = ".".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, parts))
        if any(part.isdigit() for part in path.split(".")):
            paths[path] = None
    blocks = list(paths)
    indices = np.unique(np.linspace(0, len(blocks) - 1, MAX_LAYERS + 1).round().astype(int))[1:]
    return {blocks[i].removeprefix("trunk.net."): encoder.get_submodule(blocks[i]) for i in indices if blocks}


def _pool(output: Any) -> Tensor:
    """Return the mean over places of a layer's output: (batch, n).

    A layer gives (batch, channels, height, width), (batch, places, channels), or (batch, channels), alone or
    as the first of several.
    """
    tensor = output if isinstance(output, Tensor) else output[0]
    if tensor.ndim == 4:
        return tensor.mean((2, 3))
    return tensor.mean(1) if tensor.ndim == 3 else tensor
