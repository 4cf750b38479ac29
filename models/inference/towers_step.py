"""The step of the stages `audio_towers` and `video_towers`: features of frozen networks.

Torch is imported inside functions, because that takes seconds, and only worker processes need it.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.dataset import FEATURE_FOLDERS
from pipeline.dataset.windows import Segments
from pipeline.errors import UserError
from pipeline.store.formats import Arrays, Layout
from pipeline.store.status import Outcome


@dataclass(frozen=True)
class TowersStep:
    """Map a clip's spectrogram to features (segments, dim), or its frames to (frames, dim), float16.

    side: "audio" or "video". networks: JSON of name -> keywords of the networks. clip_shape: of the inputs,
    (channels, freq, columns) or (frames, height, width, 3). segments: how sound is divided; None for video.
    n_features: length of a vector. identity: digest of the networks' weights.
    Raises UserError if a network cannot be loaded, or its weights have changed since.
    """

    side: str
    networks: str
    clip_shape: tuple[int, ...]
    segments: Segments | None
    n_features: int
    identity: str

    @property
    def layout(self) -> Layout:
        n_vectors = self.segments.count(self.clip_shape[2]) if self.segments else self.clip_shape[0]
        return Layout(
            Path("data") / FEATURE_FOLDERS[self.side], Arrays((n_vectors, self.n_features), "float16")
        )

    def __call__(self, clips: list[dict], values: list[np.ndarray]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. values: spectrograms or frames.

        Each clip is a batch of its own: its features do not depend on the clips beside it, to the last bit.
        """
        import torch

        towers = load_towers(self.side, self.networks, self.clip_shape, self.segments, self.identity)
        for value in values:
            with torch.inference_mode():
                window = torch.from_numpy(np.array(value))[None].to(towers.device)
                yield Outcome(value=towers.module(window)[0].half().cpu().numpy())


@dataclass(frozen=True)
class LoadedTowers:
    """Towers in memory. module: a models.parts.towers.Towers. identity: digest of its weights."""

    module: Any
    device: str
    identity: str


@functools.cache
def load_towers(
    side: str,
    networks: str,
    clip_shape: tuple[int, ...],
    segments: Segments | None,
    identity: str | None = None,
) -> LoadedTowers:
    """Load networks, once in each process. They use one thread, because the engine starts a process per core.

    The arguments are those of a TowersStep. identity: the digest that the weights must have; None: any.
    Raises UserError if a network cannot be loaded, or has other weights.
    """
    import torch

    from models import audio, video
    from models.parts.towers import Towers

    torch.set_num_threads(1)
    registry = {"audio": audio.encoders, "video": video.encoders}[side]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = Towers(registry, json.loads(networks), clip_shape, segments).to(device)
    loaded = LoadedTowers(module, device, _hash_weights(module))
    if identity not in (None, loaded.identity):
        raise UserError(f"towers.{side}: weights were replaced during the run: run again")
    return loaded


def _hash_weights(module: Any) -> str:
    """Return a hash of all weights and statistics of a network."""
    from pipeline.store.formats import digest

    tensors = module.state_dict()
    return digest(*(part for name in sorted(tensors) for part in (name, tensors[name].cpu().numpy())))
