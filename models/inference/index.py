"""Embeddings of every clip and an index of them: the stage `index` writes them, `search` reads them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.checkpoint import Model
from models.inference import vector_index
from models.inference.distributed import embed_blocks
from pipeline.dataset.dataset import Dataset

QUERIES = 1000  # maximum number of clips that are queries for the recall


def write(
    model: Model, data: Dataset, kind: str, embeddings: str | Path, folder: str | Path, seed: int
) -> dict:
    """Embed every clip's middle window and index both modalities.

    embeddings: folder for audio.npy and video.npy, (n, dim) float32, and clips.parquet; row i is clip i.
    folder: folder for audio.faiss and video.faiss. A model that localizes sounds has several vectors for each
    picture, so there is no index of pictures. A classifier that stacks sound and picture has one vector for
    both: both.npy and both.faiss.
    Returns {direction: {"kind", "n", "recall_10", "queries"}}: the recall against exact search.
    """
    embeddings, folder = Path(embeddings), Path(folder)
    for output in (embeddings, folder):
        shutil.rmtree(output, ignore_errors=True)  # its files may be links into DVC's cache
        output.mkdir(parents=True, exist_ok=True)  # rmtree does not remove a symbolic link or a mount point
    _write_clips(model, data, embeddings / "clips.parquet")
    stored = _write_embeddings(model, data, embeddings)
    kind = vector_index.resolve_kind(kind, len(data))
    rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:QUERIES])
    metrics = {}
    for target in indexed(model):
        stored[target].flush()
        searcher = vector_index.Searcher(vector_index.build(stored[target], kind), stored[target])
        vector_index.save(searcher.index, folder / f"{target}.faiss")
        for source in indexed(model) if model.module.cross_modal else [target]:
            share = vector_index.recall(searcher, stored[source][rows])
            metrics[f"{source}_to_{target}"] = {
                "kind": kind,
                "n": len(data),
                "recall_10": share,
                "queries": len(rows),
            }
    return metrics


def _write_clips(model: Model, data: Dataset, path: Path) -> None:
    columns = {
        "clip_id": data.clip_id,
        "labels": data.class_names(model.config["label"]),
        "subject": data.subject,
        "split": data.split,
    }
    schema = pa.schema(
        [
            ("clip_id", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("subject", pa.string()),
            ("split", pa.string()),
        ]
    )
    pq.write_table(pa.table(columns, schema=schema), path)


def _write_embeddings(model: Model, data: Dataset, folder: Path) -> dict[str, np.memmap]:
    """Embed all clips and write a file for each side. Returns the files, mapped: side -> (n, dim) float32."""
    stored: dict[str, np.memmap] = {}
    for clips, embeddings in embed_blocks(model, data):
        for side, vectors in zip(sides(model), embeddings, strict=False):
            if side not in stored:
                stored[side] = _create_mapped(folder / f"{side}.npy", (len(data), vectors.shape[1]))
            stored[side][clips] = vectors
    return stored


def _create_mapped(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Create a memory-mapped .npy file of float32. Reserve its space: else a full disk is a SIGBUS."""
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as f:
            os.posix_fallocate(f.fileno(), 0, path.stat().st_size)
    return array


def sides(model: Model) -> list[str]:
    """Return the names of the model's embeddings: audio, video, or both."""
    return list(model.module.embedding_names)


def indexed(model: Model) -> list[str]:
    """Return the sides that are indexed: those with one vector for each clip."""
    return [side for side in sides(model) if not (side == "video" and model.module.has_map)]
