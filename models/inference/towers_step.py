"""The step of the stages `audio_towers` and `video_towers`: features of frozen networks.

Torch is imported inside functions, because that takes seconds, and only worker processes need it.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.components import ENCODERS
from pipeline.dataset.features import FEATURE_FOLDERS
from pipeline.dataset.windows import Segments
from pipeline.errors import UserError
from pipeline.store.code_identity import code_digest
from pipeline.store.formats import Arrays, Layout, digest
from pipeline.store.status import Outcome

GPU_BATCH = 16  # clips at a time on a GPU
# Two processes share a GPU: one reads while the other one computes. The second number is for a cluster.
GPU_WORKERS, GPU_SHARE = 2, 0.5


@dataclass(frozen=True)
class TowersStep:
    """Map a clip's spectrogram to features (segments, dim), or its frames to (frames, dim), float16.

    side: "audio" or "video". clip_shape: of the inputs, (channels, freq, columns) or (frames, height, width,
    3). segments: how sound is divided; None for video. networks: JSON of name -> keywords of the networks.
    n_features: length of a vector. identity: digest of the networks' weights. device: where to compute; None:
    on a GPU, if the process has one.
    Raises UserError if a network cannot be loaded, or its weights have changed since.
    """

    side: str
    clip_shape: tuple[int, ...]
    segments: Segments | None
    networks: str = "{}"
    n_features: int = 0
    identity: str = ""
    device: str | None = None

    def with_networks(self, networks: dict[str, dict[str, Any]]) -> "TowersStep":
        """Load networks, name -> keywords, and return the step that computes their features.

        Raises UserError if a network cannot be loaded.
        """
        text = json.dumps(networks, sort_keys=True)
        towers = load_towers(self.side, text, self.clip_shape, self.segments)
        return replace(self, networks=text, n_features=towers.module.n_features, identity=towers.identity)

    @property
    def fingerprint(self) -> str:
        """A hash of what all features depend on: the networks with their weights, sizes and code."""
        registry = ENCODERS[f"{self.side}_encoder"]
        modules = [registry.module(name) for name in json.loads(self.networks)]
        return digest(asdict(self), code_digest(TowersStep, *modules))

    @property
    def layout(self) -> Layout:
        n_vectors = self.segments.count(self.clip_shape[2]) if self.segments else self.clip_shape[0]
        return Layout(
            Path("data") / FEATURE_FOLDERS[self.side], Arrays((n_vectors, self.n_features), "float16")
        )

    def __call__(self, clips: list[dict], values: list[np.ndarray]) -> Iterator[Outcome]:
        """Yield the outcome of each clip. values: spectrograms or frames.

        On a CPU each clip is a batch of its own: its features do not depend on the clips beside it, to the
        last bit.
        """
        import torch

        from models.device import choose_device

        device = choose_device(self.device)
        towers = load_towers(self.side, self.networks, self.clip_shape, self.segments, self.identity, device)

        def compute_batch(batch: slice) -> np.ndarray:
            with torch.inference_mode():
                windows = torch.from_numpy(np.stack(values[batch])).to(device)
                return towers.module(windows).half().cpu().numpy()

        for features in towers.batch_size.map(compute_batch, len(values)):
            for clip_features in features:
                yield Outcome(value=clip_features)


def limit_workers(engine: Any, device: str | None = None) -> Any:
    """Return the section `engine` of params.yaml, with GPU_WORKERS if it leaves open how many use a GPU.

    Otherwise there would be one for each core, each with a copy of the networks on the GPU. device: where
    they compute; None: on a GPU, if there is one.
    """
    from models.device import CPU, choose_device

    if engine.name != "local" or engine.workers is not None or choose_device(device) == CPU:
        return engine
    return engine.model_copy(update={"workers": GPU_WORKERS})


@dataclass(frozen=True)
class LoadedTowers:
    """Towers in memory. They compute in single precision, also on a GPU.

    module: a models.parts.towers.Towers. identity: digest of its weights. batch_size: a
    models.device.BatchSize of clips.
    """

    module: Any
    identity: str
    batch_size: Any


@functools.cache
def load_towers(
    side: str,
    networks: str,
    clip_shape: tuple[int, ...],
    segments: Segments | None,
    identity: str | None = None,
    device: str = "cpu",
) -> LoadedTowers:
    """Load networks, once in each process. They use one thread, because the engine starts a process per core.

    The arguments are those of a TowersStep. identity: the digest that the weights must have; None: any.
    device: where they will compute, `cpu` or `cuda`.
    Raises UserError if a network cannot be loaded, or has other weights.
    """
    import torch

    from models.device import CPU, BatchSize, move
    from models.parts.towers import Towers

    torch.set_num_threads(1)
    module = Towers(ENCODERS[f"{side}_encoder"], json.loads(networks), clip_shape, segments)
    batch_size = BatchSize(1 if device == CPU else GPU_BATCH, "clip")
    loaded = LoadedTowers(move(module, device), _hash_weights(module), batch_size)
    if identity not in (None, loaded.identity):
        raise UserError(f"towers.{side}: weights were replaced during the run: run again")
    return loaded


def _hash_weights(module: Any) -> str:
    """Return a hash of all weights and statistics of a network."""
    tensors = module.state_dict()
    return digest(*(part for name in sorted(tensors) for part in (name, tensors[name].cpu().numpy())))
