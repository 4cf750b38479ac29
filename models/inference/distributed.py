"""Distributed inference: run a model on a Ray cluster block by block, or in this process without one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from models import checkpoint
from models.checkpoint import BATCH, CONFIG, Model
from models.weights import WEIGHTS
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import MIDDLE
from pipeline.store.values import ClipArrays

BLOCK = 4096  # clips embedded at a time in this process
# Clips of one task on a cluster. Whole batches, so that each window is in the same batch as in this process.
TASK = 8 * BATCH


@contextmanager
def open_model(folder: str | Path, engine) -> Iterator[Model]:
    """Load the model in `folder` and connect to the cluster. engine: the section of params.yaml."""
    model = checkpoint.load(folder)
    if engine.name == "local":
        yield model
        return
    from pipeline.engine import cluster  # imports Ray, which is an optional dependency

    with cluster.connect(engine):
        yield DistributedModel(model, folder, engine)


def embed_blocks(model: Model, data: Dataset) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """Embed the middle window of every clip. Yields clip numbers and the result of `Model.embed` for them."""
    clips = np.arange(len(data))
    if isinstance(model, DistributedModel):
        for start, embeddings in model.run_blocks(data, clips, "embed", MIDDLE):
            yield clips[start : start + len(embeddings[0])], embeddings
        return
    for start in range(0, len(clips), BLOCK):
        block = clips[start : start + BLOCK]
        yield block, model.embed(data, block)


class DistributedModel(Model):
    """A `Model` whose methods that read a data set run on the cluster's workers.

    A worker uses one thread. The same model with several threads may round the last bits differently.
    """

    def __init__(self, model: Model, folder: str | Path, engine) -> None:
        import ray

        super().__init__(model.module, model.config, model.device)
        self.engine = engine
        self._model = ray.put({name: (Path(folder) / name).read_bytes() for name in (CONFIG, WEIGHTS)})
        self._data: dict[str, Any] = {}

    def embed(
        self, data: Dataset, clips: np.ndarray, window_position: float | np.ndarray = MIDDLE
    ) -> tuple[np.ndarray, np.ndarray]:
        if np.ndim(window_position) or not len(clips):
            return super().embed(data, clips, window_position)
        blocks = self._run_in_order(data, clips, "embed", window_position)
        audio, video = (np.concatenate(side) for side in zip(*blocks, strict=True))
        return audio, video

    def logits(
        self,
        data: Dataset,
        clips: np.ndarray,
        blank: str | None = None,
        swapped: bool = False,
        frame_position: float = MIDDLE,
    ) -> np.ndarray:
        if not len(clips):
            return super().logits(data, clips, blank, swapped, frame_position)
        return np.concatenate(self._run_in_order(data, clips, "logits", blank, swapped, frame_position))

    def _run_in_order(self, data: Dataset, clips: np.ndarray, method: str, *arguments: Any) -> list[Any]:
        """Run all blocks and return their results in the order of the clips."""
        results = sorted(self.run_blocks(data, clips, method, *arguments), key=lambda result: result[0])
        return [result for _, result in results]

    def run_blocks(
        self, data: Dataset, clips: np.ndarray, method: str, *arguments: Any
    ) -> Iterator[tuple[int, Any]]:
        """Call a method of the model on blocks of clips. Yields (start of the block, result), unordered."""
        import ray

        from pipeline.engine import cluster

        if data.digest not in self._data:
            self._data[data.digest] = ray.put(data)
        # Ray resolves references that are arguments, but not those in a list. So each worker fetches an
        # object once, and not for each task.
        references = [self._model, self._data[data.digest]]
        needs_files = not all(isinstance(x, ClipArrays) and x.in_storage for x in (data.audio, data.video))
        tasks = [(start, clips[start : start + TASK]) for start in range(0, len(clips), TASK)]
        settings = (os.getcwd(), needs_files, references, method, arguments)
        for task, result in cluster.map_unordered(_run_task, tasks, self.engine, *settings):
            yield task[0], result


def _run_task(
    task: tuple[int, np.ndarray],
    root: str,
    needs_files: bool,
    references: list,
    method: str,
    arguments: tuple,
) -> Any:
    """Call the method for the clips of one task, on a worker."""
    from pipeline.engine import cluster

    cluster.enter_project(root, needs_files)
    model, data = _fetch_model(references[0]), _fetch_data(references[1])
    return getattr(model, method)(data, task[1], *arguments)


@lru_cache(1)
def _fetch_model(reference) -> Model:
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for name, content in ray.get(reference).items():
            (Path(folder) / name).write_bytes(content)
        return checkpoint.load(folder)


@lru_cache(2)
def _fetch_data(reference) -> Dataset:
    import ray

    return ray.get(reference)
