"""A trained model on disk: weights in `model.safetensors`, and in `config.json` how to build it."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from models.device import CPU, BatchSize, mixed_precision, mixed_type, move
from models.parts.cached import CachedEncoder
from models.parts.definitions import DEFINITION, add_definitions
from models.tasks import tasks
from models.weights import WEIGHTS, weights_digest
from pipeline.dataset.dataset import MIDDLE, SIDES, Dataset
from pipeline.dataset.features import FeatureUse
from pipeline.errors import UserError
from pipeline.store.atomic import atomic_write

T = TypeVar("T")

CONFIG = "config.json"
FORMAT = 1  # version of the format of config.json
# Windows in a batch. The last bits of a result may depend on it: it is fixed, and halved only where the
# memory of a GPU is too small.
BATCH = 64
SCORES_BATCH = 65_536  # pairs of embeddings whose scores are computed at a time


def build(config: dict) -> torch.nn.Module:
    """Build the model that a config.json describes.

    Its weights are random or, for an encoder with `pretrained`, the published ones.
    """
    train = SimpleNamespace(**config["train"])
    audio_shape, video_shape = tuple(config["audio_shape"]), tuple(config["video_shape"])
    module = tasks.get(config["task"])(config, audio_shape, video_shape, train)
    # 2-D convolutions run channels-last; only they have 4-D weights. Module.to(memory_format=...) cannot be
    # used: it fails on the 5-D weights of 3-D convolutions.
    for weights in module.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    return module


def attach_towers(module: torch.nn.Module, pretrained: bool = True) -> None:
    """Build the towers of encoders that were trained on their stored features, to embed sounds and pictures.

    pretrained: load their weights too; False: they will be loaded with those of the model.
    """
    for part in list(module.modules()):
        if isinstance(part, CachedEncoder):
            part.attach_towers(pretrained)


def save(folder: str | Path, module: torch.nn.Module, config: dict) -> None:
    """Write a model to `folder`: its weights, and `config` with the digest of the weights.

    Encoders of other libraries also get their `definition` in it (models/parts/definitions.py).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    # The old files are replaced, not written into: they may be links into DVC's cache.
    with atomic_write(folder / WEIGHTS) as temporary_path:
        temporary_path.write_bytes(safetensors.torch.save(weights))
    saved_config = {
        "format": FORMAT,
        **add_definitions(config, module),
        "weights_digest": weights_digest(folder),
    }
    with atomic_write(folder / CONFIG) as temporary_path:
        temporary_path.write_text(json.dumps(saved_config, indent=2) + "\n", encoding="utf-8")


def load(folder: str | Path, device: str = CPU) -> "Model":
    """Load the model in `folder`. device: where it will compute, `cpu` or `cuda`.

    Raises UserError if it is missing or cannot be read, or if the device has too little memory.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except FileNotFoundError as e:
        raise UserError(f"{e.filename or folder}: not there: train a model first (dvc repro train)") from None
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as e:
        raise UserError(f"{folder}: not a model: {' '.join(str(e).split())[:200]}: train it again") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(
            f"{folder / CONFIG}: not a configuration of this version (format {FORMAT}): train it again"
        )
    try:
        # All weights are in the file: do not download the published ones.
        encoders = {
            side: keywords | {"pretrained": False}
            if keywords.keys() & {"pretrained", DEFINITION}
            else keywords
            for side, keywords in config["encoders"].items()
        }
        module = build(config | {"encoders": encoders})
        attach_towers(module, pretrained=False)
        module.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as e:
        reason = " ".join(str(e).split())[:200]
        raise UserError(
            f"{folder}: configuration and weights do not belong together ({reason}): train it again"
        ) from None
    return Model(module, config, device)


def saved_fingerprint(folder: str | Path) -> str | None:
    """Return the fingerprint of the data, parameters and code that the model in `folder` was trained from.

    Returns None if there is no model, or if its weights are not those that were saved with its configuration.
    """
    try:
        config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
        return config["fingerprint"] if config["weights_digest"] == weights_digest(folder) else None
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


class Model:
    """A trained model as functions from arrays to arrays, computed in batches.

    On a CPU it computes in single precision. On a GPU it embeds and classifies in the precision of its
    training, and halves its batches when memory runs out; it scores in single precision, which costs little.

    module: the task, a subclass of models.tasks._base.Task. config: the content of config.json: names,
    shapes, parameters, labels and metrics of the best epoch. device: where to compute, as `cpu` or `cuda`.
    """

    def __init__(self, module: torch.nn.Module, config: dict, device: str = CPU) -> None:
        self.module = move(module, device).eval()
        self.config, self.device = config, device
        self.mixed_type = mixed_type(device, str(config["train"].get("precision")))
        self.batch_size = BatchSize(BATCH)
        self._score_batch_size = BatchSize(SCORES_BATCH, "pair")
        self.features = FeatureUse.from_config(config)  # which sides are read as features of towers

    def embed_audio(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Map (n, channels, freq, time) to embeddings (n, dim) float32, each of length 1."""
        return self._run(partial(self.compute, self.module.embed_audio), x)

    def embed_video(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Map (n, frames, height, width, 3) uint8 to embeddings (n, dim) float32, each of length 1."""
        return self._run(partial(self.compute, self.module.embed_video), x)

    @torch.inference_mode()
    def compute(self, function: Callable[..., T], *inputs: np.ndarray | Tensor) -> T:
        """Call a function of the module with a batch of windows, on the model's device, in its precision.

        inputs: as the function takes them, on any device. Returns its result, on the model's device.
        """
        with mixed_precision(self.device, self.mixed_type):
            return function(*(torch.as_tensor(x).to(self.device) for x in inputs))

    def embed(
        self,
        data: Dataset,
        clips: np.ndarray,
        window_position: float | np.ndarray = MIDDLE,
        frame_position: float | np.ndarray = MIDDLE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed the sound and the picture of one window of each clip.

        clips: the row numbers of the clips in `data`, (n,). window_position: where in the clip the window
        lies, frame_position: where in the window the frames are, 0 to 1; one number for all clips, or (n,).
        Returns the embeddings of the sounds and of the pictures, (n, dim) each, of length 1. A model with one
        embedding for both, or for one modality, returns it twice.
        """
        positions, frame_positions = (
            np.broadcast_to(position, len(clips)) for position in (window_position, frame_position)
        )

        def embed_batch(batch: slice) -> list[np.ndarray]:
            place = positions[batch], frame_positions[batch]
            windows = data.read(clips[batch], *place, features=self.features)
            return [x.float().cpu().numpy() for x in self.compute(self.module.embed_pair, *windows)]

        batches = self.batch_size.map(embed_batch, len(clips))
        audio, video = (np.concatenate(side) for side in zip(*batches, strict=True))
        return audio, video

    def logits(
        self,
        data: Dataset,
        clips: np.ndarray,
        blank: str | None = None,
        swapped: bool = False,
        frame_position: float | np.ndarray = MIDDLE,
        window_position: float | np.ndarray = MIDDLE,
    ) -> np.ndarray:
        """Compute a classifier's logits (n, classes) for one window of each clip.

        clips: the row numbers of the clips in `data`, (n,). blank: the modality to leave out, "audio" or
        "video". swapped: classify by the modality that the model was not trained on (only for a stacked
        network of one modality). frame_position: where in the window the frames are, window_position: where
        in the clip the window lies, 0 to 1; one number for all clips, or (n,).
        """
        function = self.module.logits_of_other_modality if swapped else self.module
        sides = tuple(side for side in SIDES if side != self.config["modality"]) if swapped else None
        if blank:
            function = partial(self.module.logits_without, blank)

        positions, frame_positions = (
            np.broadcast_to(position, len(clips)) for position in (window_position, frame_position)
        )

        def classify_batch(batch: slice) -> np.ndarray:
            place = positions[batch], frame_positions[batch]
            windows = data.read(clips[batch], *place, self.features, sides)
            return self.compute(function, *windows).float().cpu().numpy()

        batches = self.batch_size.map(classify_batch, len(clips))
        return np.concatenate([np.empty((0, len(self.config["classes"])), np.float32), *batches])

    def score(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Score pairs of an audio and a video embedding, (n, dim) each: logits (n,), above 0: a match."""
        return self._run(self.module.score, audio, video, batch_size=self._score_batch_size)

    def maps(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Localize the sounds of pairs: return the probabilities (n, positions) that they are at a position.

        audio: embeddings (n, dim). video: (n, positions * dim), an embedding for each position of a picture.
        """
        return self._run(lambda a, v: self.module.matcher.map(a, v).sigmoid(), audio, video)

    def scores(self, audio: np.ndarray, video: np.ndarray) -> np.ndarray:
        """Score each of the sounds (m, dim) with each of the pictures (n, dim): logits (m, n)."""
        audio, video = np.asarray(audio), np.asarray(video)
        rows = [self.score(np.tile(a, (len(video), 1)), video) for a in audio]
        return np.stack(rows) if rows else np.empty((0, len(video)), np.float32)

    @torch.inference_mode()
    def _run(
        self,
        function: Callable[..., Tensor],
        *inputs: np.ndarray | Tensor,
        batch_size: BatchSize | None = None,
    ) -> np.ndarray:
        """Apply a function to inputs of the same length n, a batch of rows at a time. Returns its outputs.

        batch_size: how many rows at a time; None: as many as windows.
        """
        tensors = [torch.as_tensor(x) for x in inputs]

        def run_batch(batch: slice) -> Tensor:
            return function(*(t[batch].to(self.device) for t in tensors)).float().cpu()

        outputs = list((batch_size or self.batch_size).map(run_batch, len(tensors[0])))
        if not outputs:
            # No rows: return an empty array of embeddings (one input) or of scores (two inputs).
            encoder = getattr(self.module, "encoder", None)
            dim = encoder.dim if encoder else self.config["train"]["embedding_dim"]
            return np.empty((0, dim) if len(inputs) == 1 else (0,), np.float32)
        return torch.cat(outputs).numpy()
