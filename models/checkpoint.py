"""A trained model on disk: `model.safetensors`, and `config.json` all that is needed to build it again."""

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from models.tasks import tasks
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.errors import UserError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = 1
BATCH = 64  # windows at a time, always the same: the last bits of a result may depend on it


def build(config: dict) -> torch.nn.Module:
    """A model as `config` says, with fresh weights (or published ones, where an encoder is to have them)."""
    train = SimpleNamespace(**config["train"])
    shapes = tuple(config["audio_shape"]), tuple(config["video_shape"])
    module = tasks.get(config["task"])(config, *shapes, train)
    for weights in module.parameters():  # convolutions of pictures; Module.to fails over those of videos
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    return module


def save(folder: str | Path, module: torch.nn.Module, config: dict) -> None:
    """Write both files, each under a temporary name first: what lies there may be a link into a cache."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    _replace(folder / WEIGHTS, safetensors.torch.save(weights))
    about = {"format": FORMAT, **config, "weights_digest": identity(folder)}
    _replace(folder / CONFIG, (json.dumps(about, indent=2) + "\n").encode())


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.tmp")
    try:
        with open(part, "wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(folder: str | Path) -> "Model":
    """The model in `folder`. Raises UserError where there is none, or none that can be read."""
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
        # Its weights are here: nothing need be fetched.
        sizes = {
            k: v | {"pretrained": False} if "pretrained" in v else v for k, v in config["encoders"].items()
        }
        module = build(config | {"encoders": sizes})
        module.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as e:
        reason = " ".join(str(e).split())[:200]
        raise UserError(
            f"{folder}: configuration and weights do not belong together ({reason}): train it again"
        ) from None
    return Model(module, config)


def made_from(folder: str | Path) -> str | None:
    """The fingerprint of what the model in `folder` was made from; None where there is none, or where the
    weights are not those that were saved with it."""
    try:
        config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
        return config["fingerprint"] if config["weights_digest"] == identity(folder) else None
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


def identity(folder: str | Path) -> str:
    """A hash of the weights in `folder`. Raises UserError where there are none."""
    path = Path(folder) / WEIGHTS
    try:
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "blake2b").hexdigest()
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}): no model to start from") from None


class Model:
    """A trained model to ask: arrays in, arrays out, in batches, in single precision.

    config: as in config.json: the names, shapes, parameters, labels, and the epoch that was chosen.
    """

    def __init__(self, module: torch.nn.Module, config: dict, device: str = "cpu") -> None:
        self.module, self.config, self.device = module.to(device).eval(), config, device

    def embed_audio(self, x: np.ndarray | Tensor) -> np.ndarray:
        """(n, channels, freq, time) to (n, dim) float32, each of length 1."""
        return self._run(self.module.embed_audio, x)

    def embed_video(self, x: np.ndarray | Tensor) -> np.ndarray:
        """(n, frames, height, width, 3) uint8 to (n, dim) float32, each of length 1."""
        return self._run(self.module.embed_video, x)

    def embed(
        self, data: Dataset, clips: np.ndarray, at: float | np.ndarray = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sound and picture of windows of a data set: (n, dim) twice; siamese: one modality's twice.

        `at`: one place for all, or (n,).
        """
        places = np.broadcast_to(at, len(clips))
        found = []
        for i in range(0, len(clips), BATCH):
            with torch.inference_mode():
                windows = data.read(clips[i : i + BATCH], places[i : i + BATCH])
                sides = self.module.sides(*(torch.as_tensor(x).to(self.device) for x in windows))
            found.append([x.float().cpu().numpy() for x in sides])
        audio, video = (np.concatenate(x) for x in zip(*found, strict=True))
        return audio, video

    def logits(
        self,
        data: Dataset,
        clips: np.ndarray,
        blank: str | None = None,
        swapped: bool = False,
        look: float = MIDDLE,
    ) -> np.ndarray:
        """Of a classifier: the middle windows of clips to (n, classes). blank: audio or video, which is
        missing. swapped: as of Classification.swapped. look: frame_position of Dataset.read."""
        ask = self.module.swapped if swapped else self.module
        if blank:
            ask = partial(self.module.without, blank)
        found = [np.empty((0, len(self.config["classes"])), np.float32)]
        for i in range(0, len(clips), BATCH):
            with torch.inference_mode():
                windows = data.read(clips[i : i + BATCH], frame_position=look)
                inputs = [torch.as_tensor(x).to(self.device) for x in windows]
                found.append(ask(*inputs).float().cpu().numpy())
        return np.concatenate(found)

    def score(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Embeddings (n, dim) twice to logits (n,): higher is likelier, above 0 is a match."""
        return self._run(self.module.score, audio, video, batch=65_536)

    def maps(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Embeddings (n, dim) and (n, places * dim) to where the sound is: probabilities (n, places)."""
        return self._run(lambda a, v: self.module.matcher.map(a, v).sigmoid(), audio, video)

    def scores(self, audio: np.ndarray, video: np.ndarray) -> np.ndarray:
        """Embeddings (m, dim) and (n, dim) to the logits of all pairs, (m, n)."""
        audio, video = np.asarray(audio), np.asarray(video)
        rows = [self.score(np.tile(a, (len(video), 1)), video) for a in audio]
        return np.stack(rows) if rows else np.empty((0, len(video)), np.float32)

    @torch.inference_mode()
    def _run(
        self, function: Callable[..., Tensor], *inputs: np.ndarray | Tensor, batch: int = BATCH
    ) -> np.ndarray:
        tensors = [torch.as_tensor(x) for x in inputs]
        done = []
        for i in range(0, len(tensors[0]), batch):
            done.append(function(*(t[i : i + batch].to(self.device) for t in tensors)).float().cpu())
        if not done:
            dim = getattr(self.module, "encoder", None)
            dim = dim.dim if dim else self.config["train"]["embedding_dim"]
            return np.empty((0, dim) if len(inputs) == 1 else (0,), np.float32)
        return torch.cat(done).numpy()
