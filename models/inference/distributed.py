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
from models.device import CPU, choose_device
from models.inference.towers_step import GPU_SHARE
from models.weights import WEIGHTS
from pipeline.dataset.dataset import Dataset
from pipeline.dataset.windows import MIDDLE
from pipeline.store.values import ClipArrays

CLIPS_PER_BLOCK = 4096  # embedded at a time in this process
# Clips of one task on a cluster. Whole batches, so that each window is in the same batch as in this process.
CLIPS_PER_TASK = 8 * BATCH


@contextmanager
def open_model(folder: str | Path, engine, device: str | None = None) -> Iterator[Model]:
    """Load the model in `folder`, and connect to the cluster if there is one.

    engine: the section of params.yaml. device: where this process and the workers of the cluster compute;
    None: each on a GPU, if it has one. Yields a Model, which computes in this process if engine.name is
    `local`, and otherwise on the cluster, until the end of the `with` block.
    """
    model = checkpoint.load(folder, choose_device(device))
    if engine.name == "local":
        yield model
        return
    from pipeline.engine import cluster  # imports Ray, which is an optional dependency

    with cluster.connect(engine):
        yield DistributedModel(model, folder, engine, device)


def embed_blocks(model: Model, data: Dataset) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """Embed the middle window of every clip, block by block, in any order.

    Yields the row numbers of some clips, (n,), and their embeddings: audio and video, (n, dim) each.
    A model with one embedding for each clip yields it twice.
    """
    clips = np.arange(len(data))
    if isinstance(model, DistributedModel):
        for start, embeddings in model.run_blocks(data, clips, "embed", MIDDLE):
            yield clips[start : start + len(embeddings[0])], embeddings
        return
    for start in range(0, len(clips), CLIPS_PER_BLOCK):
        block = clips[start : start + CLIPS_PER_BLOCK]
        yield block, model.embed(data, block)


class DistributedModel(Model):
    """A Model that embeds and classifies the clips of a data set on the workers of a Ray cluster.

    A worker uses one thread. The same model with several threads may round the last bits differently. If the
    cluster has GPUs, all tasks run on them, two at a time on each.

    model: the model, loaded. folder: where it was loaded from. engine: the section of params.yaml. device:
    where the workers compute; None: on a GPU, if they have one.
    """

    def __init__(self, model: Model, folder: str | Path, engine, device: str | None = None) -> None:
        import ray

        super().__init__(model.module, model.config, model.device)
        self.engine, self.worker_device = engine, device
        files = {name: (Path(folder) / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        self._model_reference = ray.put(files)
        self._data_references: dict[str, Any] = {}  # digest of a data set -> Ray's reference to it

    def embed(
        self,
        data: Dataset,
        clips: np.ndarray,
        window_position: float | np.ndarray = MIDDLE,
        frame_position: float | np.ndarray = MIDDLE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what Model.embed does, on the cluster.

        If each clip has a position of its own, this process does it.
        """
        if np.ndim(window_position) or np.ndim(frame_position) or not len(clips):
            return super().embed(data, clips, window_position, frame_position)
        blocks = self._run_in_order(data, clips, "embed", window_position, frame_position)
        audio, video = (np.concatenate(side) for side in zip(*blocks, strict=True))
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
        """Do what Model.logits does, on the cluster.

        If each clip has a position of its own, this process does it.
        """
        arguments = blank, swapped, frame_position, window_position
        if np.ndim(frame_position) or np.ndim(window_position) or not len(clips):
            return super().logits(data, clips, *arguments)
        return np.concatenate(self._run_in_order(data, clips, "logits", *arguments))

    def _run_in_order(self, data: Dataset, clips: np.ndarray, method: str, *arguments: Any) -> list[Any]:
        """Call a method of the model on blocks of clips; return the results in the order of the clips.

        method: the name of the method. arguments: what it takes after `data` and `clips`.
        """
        results = sorted(self.run_blocks(data, clips, method, *arguments), key=lambda result: result[0])
        return [result for _, result in results]

    def run_blocks(
        self, data: Dataset, clips: np.ndarray, method: str, *arguments: Any
    ) -> Iterator[tuple[int, Any]]:
        """Call a method of the model on blocks of clips, on the cluster.

        method: the name of the method. arguments: what it takes after `data` and `clips`.
        Yields the number of the first clip of a block and the block's result, in any order.
        """
        import ray

        from pipeline.engine import cluster

        if data.digest not in self._data_references:
            self._data_references[data.digest] = ray.put(data)
        # Ray replaces references that are arguments by their objects, but not those in a list. With the list,
        # a worker fetches each object once, and not for each task.
        references = [self._model_reference, self._data_references[data.digest]]
        arrays = [data.audio, data.video, *data.features.values()]  # those in memory travel with `data`
        is_in_storage = all(x.in_storage for x in arrays if isinstance(x, ClipArrays))
        tasks = [
            (start, clips[start : start + CLIPS_PER_TASK]) for start in range(0, len(clips), CLIPS_PER_TASK)
        ]
        settings = (os.getcwd(), not is_in_storage, references, self.worker_device, method, arguments)
        gpu_share = 0.0 if self.worker_device == CPU else GPU_SHARE
        results = cluster.map_unordered(_run_task, tasks, self.engine, *settings, gpu_share=gpu_share)
        for (start, _), result in results:
            yield start, result


def _run_task(
    task: tuple[int, np.ndarray],
    project_folder: str,
    needs_files: bool,
    references: list,
    device: str | None,
    method: str,
    arguments: tuple,
) -> Any:
    """Call a method of the model for the clips of one task, on a worker. Returns its result.

    task: the number of its first clip, and the row numbers of its clips in the data set.
    project_folder: where the project is, if the worker has it. needs_files: whether the worker must have it,
    because the data are in its files and not in the storage of the cluster.
    references: Ray's references to the files of the model and to the data set. device: where to compute;
    None: on a GPU, if the task has one.
    method: the name of the method. arguments: what it takes after the data set and the clips.
    """
    from pipeline.engine import cluster

    cluster.enter_project(project_folder, needs_files)
    _, clips = task
    model_reference, data_reference = references
    model, data = _fetch_model(model_reference, choose_device(device)), _fetch_data(data_reference)
    return getattr(model, method)(data, clips, *arguments)


@lru_cache(1)
def _fetch_model(reference, device: str) -> Model:
    """Load the model from its files in Ray's object store; the last one is kept for the next task."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for name, content in ray.get(reference).items():
            (Path(folder) / name).write_bytes(content)
        return checkpoint.load(folder, device)


@lru_cache(2)
def _fetch_data(reference) -> Dataset:
    """Fetch a data set from Ray's object store; the last two are kept for the next task."""
    import ray

    return ray.get(reference)
