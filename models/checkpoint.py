"""A trained model on disk: weights in `model.safetensors`, and in `config.json` how to build it."""

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
from models.weights import WEIGHTS, weights_digest
from pipeline.dataset.dataset import MIDDLE, Dataset
from pipeline.errors import UserError

CONFIG = "config.json"
FORMAT = 1
BATCH = 64  # windows in a batch; fixed, as the last bits of a result may depend on it


def build(config: dict) -> torch.nn.Module:
    """Build the model that `config` describes, with random weights or, if `pretrained`, published ones."""
    train = SimpleNamespace(**config["train"])
    shapes = tuple(config["audio_shape"]), tuple(config["video_shape"])
    module = tasks.get(config["task"])(config, *shapes, train)
    # Only 2-D convolutions have 4-D weights. Module.to(memory_format=...) fails on 3-D ones.
    for weights in module.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    return module


def save(folder: str | Path, module: torch.nn.Module, config: dict) -> None:
    """Write both files, each under a temporary name first, as the old one may be a link into DVC's cache."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    _replace(folder / WEIGHTS, safetensors.torch.save(weights))
    saved_config = {"format": FORMAT, **config, "weights_digest": weights_digest(folder)}
    _replace(folder / CONFIG, (json.dumps(saved_config, indent=2) + "\n").encode())


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
    """Load the model in `folder`. Raises UserError if it is missing or cannot be read."""
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
        # The weights are here, so that no published ones need to be downloaded.
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
    """A trained model as functions from arrays to arrays, computed in batches, in single precision.

    config: the content of config.json: names, shapes, parameters, labels and metrics of the best epoch.
    """

    def __init__(self, module: torch.nn.Module, config: dict, device: str = "cpu") -> None:
        self.module, self.config, self.device = module.to(device).eval(), config, device

    def embed_audio(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Map (n, channels, freq, time) to embeddings (n, dim) float32, each of length 1."""
        return self._run(self.module.embed_audio, x)

    def embed_video(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Map (n, frames, height, width, 3) uint8 to embeddings (n, dim) float32, each of length 1."""
        return self._run(self.module.embed_video, x)

    def embed(
        self, data: Dataset, clips: np.ndarray, window_position: float | np.ndarray = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed sound and picture of a window of each clip: (n, dim) twice, as of Task.embed_pair.

        window_position: where in the clip the window lies, 0 to 1; one for all clips, or (n,).
        """
        positions = np.broadcast_to(window_position, len(clips))
        batches = []
        for i in range(0, len(clips), BATCH):
            with torch.inference_mode():
                windows = data.read(clips[i : i + BATCH], positions[i : i + BATCH])
                sides = self.module.embed_pair(*(torch.as_tensor(x).to(self.device) for x in windows))
            batches.append([x.float().cpu().numpy() for x in sides])
        audio, video = (np.concatenate(x) for x in zip(*batches, strict=True))
        return audio, video

    def logits(
        self,
        data: Dataset,
        clips: np.ndarray,
        blank: str | None = None,
        swapped: bool = False,
        frame_position: float = MIDDLE,
    ) -> np.ndarray:
        """Compute a classifier's logits (n, classes) for the middle windows of clips.

        blank: the modality to leave out, audio or video. swapped: read the modality that the model was not
        trained on. frame_position: where in the window the frames are, 0 to 1.
        """
        compute = self.module.logits_of_other_modality if swapped else self.module
        if blank:
            compute = partial(self.module.logits_without, blank)
        batches = [np.empty((0, len(self.config["classes"])), np.float32)]
        for i in range(0, len(clips), BATCH):
            with torch.inference_mode():
                windows = data.read(clips[i : i + BATCH], MIDDLE, frame_position)
                inputs = [torch.as_tensor(x).to(self.device) for x in windows]
                batches.append(compute(*inputs).float().cpu().numpy())
        return np.concatenate(batches)

    def score(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Score pairs of embeddings, (n, dim) twice: logits (n,), above 0 for a match."""
        return self._run(self.module.score, audio, video, batch=65_536)

    def maps(self, audio: np.ndarray | Tensor, video: np.ndarray | Tensor) -> np.ndarray:
        """Localize sounds: map (n, dim) and (n, positions * dim) to probabilities (n, positions)."""
        return self._run(lambda a, v: self.module.matcher.map(a, v).sigmoid(), audio, video)

    def scores(self, audio: np.ndarray, video: np.ndarray) -> np.ndarray:
        """Score each of (m, dim) sounds with each of (n, dim) pictures: logits (m, n)."""
        audio, video = np.asarray(audio), np.asarray(video)
        rows = [self.score(np.tile(a, (len(video), 1)), video) for a in audio]
        return np.stack(rows) if rows else np.empty((0, len(video)), np.float32)

    @torch.inference_mode()
    def _run(
        self, function: Callable[..., Tensor], *inputs: np.ndarray | Tensor, batch: int = BATCH
    ) -> np.ndarray:
        tensors = [torch.as_tensor(x) for x in inputs]
        outputs = []
        for i in range(0, len(tensors[0]), batch):
            outputs.append(function(*(t[i : i + batch].to(self.device) for t in tensors)).float().cpu())
        if not outputs:
            encoder = getattr(self.module, "encoder", None)
            dim = encoder.dim if encoder else self.config["train"]["embedding_dim"]
            return np.empty((0, dim) if len(inputs) == 1 else (0,), np.float32)
        return torch.cat(outputs).numpy()
