"""A model that embeds on a Ray cluster, block by block; without one, in this process."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from models import checkpoint
from models.checkpoint import BATCH, CONFIG, WEIGHTS, Model
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import MIDDLE
from pipeline.store.values import ClipArrays

BLOCK = 4096  # clips embedded at a time
TASK = (
    8 * BATCH
)  # clips of a task on a cluster: whole batches, so that each window has the neighbours it has here


@contextmanager
def loaded(folder: str | Path, engine) -> Iterator[Model]:
    """The model in `folder`, to be asked inside. engine: the section of params.yaml."""
    model = checkpoint.load(folder)
    if engine.name == "local":
        yield model
        return
    from pipeline.engine import cluster  # and Ray: not for those who have none

    with cluster.connect(engine):
        yield Spread(model, folder, engine)


def embedded(model: Model, data: Dataset) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """All clips' middle windows: some of their numbers, and what `Model.embed` makes of these."""
    clips = np.arange(len(data))
    if isinstance(model, Spread):
        for start, found in model.blocks(data, clips, "embed", MIDDLE):
            yield clips[start : start + len(found[0])], found
        return
    for start in range(0, len(clips), BLOCK):
        part = clips[start : start + BLOCK]
        yield part, model.embed(data, part)


class Spread(Model):
    """As `Model`; what it reads from a data set is embedded by the cluster's workers.

    A worker has one thread for it. The same model with several may round the last bits otherwise.
    """

    def __init__(self, model: Model, folder: str | Path, engine) -> None:
        import ray

        super().__init__(model.module, model.config, model.device)
        self.engine = engine
        self._model = ray.put({name: (Path(folder) / name).read_bytes() for name in (CONFIG, WEIGHTS)})
        self._data: dict[str, Any] = {}

    def embed(
        self, data: Dataset, clips: np.ndarray, at: float | np.ndarray = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        if np.ndim(at) or not len(clips):
            return super().embed(data, clips, at)
        parts = [found for _, found in sorted(self.blocks(data, clips, "embed", at), key=lambda f: f[0])]
        audio, video = (np.concatenate(side) for side in zip(*parts, strict=True))
        return audio, video

    def logits(
        self,
        data: Dataset,
        clips: np.ndarray,
        blank: str | None = None,
        swapped: bool = False,
        look: float = MIDDLE,
    ) -> np.ndarray:
        if not len(clips):
            return super().logits(data, clips, blank, swapped, look)
        found = sorted(self.blocks(data, clips, "logits", blank, swapped, look), key=lambda f: f[0])
        return np.concatenate([part for _, part in found])

    def blocks(self, data: Dataset, clips: np.ndarray, ask: str, *how: Any) -> Iterator[tuple[int, Any]]:
        """Where each block of clips begins, and what the method `ask` of a model says of it, as they come."""
        import ray

        from pipeline.engine import cluster

        if data.digest not in self._data:
            self._data[data.digest] = ray.put(data)
        # In a list a reference stays one: the worker has the object already, but for its first task.
        held = [self._model, self._data[data.digest]]
        needed = not all(isinstance(x, ClipArrays) and x.in_storage for x in (data.audio, data.video))
        starts = list(range(0, len(clips), TASK))
        tasks = [(start, clips[start : start + TASK]) for start in starts]
        for task, found in cluster.map_unordered(
            _asked, tasks, self.engine, os.getcwd(), needed, held, ask, how
        ):
            yield task[0], found


def _asked(task: tuple[int, np.ndarray], root: str, needed: bool, held: list, ask: str, how: tuple) -> Any:
    from pipeline.engine import cluster

    cluster.enter_project(root, needed)
    model, data = _model(held[0]), _data(held[1])
    return getattr(model, ask)(data, task[1], *how)


@lru_cache(1)
def _model(reference) -> Model:
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for name, content in ray.get(reference).items():
            (Path(folder) / name).write_bytes(content)
        return checkpoint.load(folder)


@lru_cache(2)
def _data(reference) -> Dataset:
    import ray

    return ray.get(reference)
