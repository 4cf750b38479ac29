"""Embeddings of every clip, and an index of them. The stage `index` writes both, and search reads both."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.checkpoint import Model
from models.inference import vector_index
from models.inference.distributed import embed_blocks
from pipeline.dataset.dataset import Dataset

MAX_QUERIES = 1000  # clips that serve as queries when the recall is measured


def write_index(
    model: Model,
    data: Dataset,
    requested_kind: str,
    embeddings_folder: str | Path,
    index_folder: str | Path,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Embed every clip's middle window, and build a nearest-neighbour index of each modality.

    requested_kind: `index.kind` of params.yaml, one of vector_index.KINDS.
    embeddings_folder: gets audio.npy and video.npy, (n, dim) float32, and clips.parquet; row i is clip i.
    index_folder: gets audio.faiss and video.faiss.
    A classifier that stacks sound and picture has one vector for both: both.npy and both.faiss.
    Returns, for each direction, such as audio_to_video: the kind of index, the number n of clips, the
    `recall_10` of the index against exact search, and the number of queries.
    """
    embeddings_folder, index_folder = Path(embeddings_folder), Path(index_folder)
    for folder in (embeddings_folder, index_folder):
        shutil.rmtree(folder, ignore_errors=True)  # its files may be links into DVC's cache
        folder.mkdir(parents=True, exist_ok=True)  # rmtree does not remove a symbolic link or a mount point
    _write_clips(model, data, embeddings_folder / "clips.parquet")
    embeddings = _write_embeddings(model, data, embeddings_folder)
    kind = vector_index.resolve_kind(requested_kind, len(data))
    query_rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:MAX_QUERIES])
    metrics = {}
    for target in indexed_modalities(model):
        embeddings[target].flush()
        searcher = vector_index.Searcher(vector_index.build(embeddings[target], kind), embeddings[target])
        vector_index.save(searcher.index, index_folder / f"{target}.faiss")
        for source in indexed_modalities(model) if model.module.cross_modal else [target]:
            metrics[f"{source}_to_{target}"] = {
                "kind": kind,
                "n": len(data),
                "recall_10": vector_index.recall(searcher, embeddings[source][query_rows]),
                "queries": len(query_rows),
            }
    return metrics


def _write_clips(model: Model, data: Dataset, path: Path) -> None:
    """Write clips.parquet: what search results say about each clip."""
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
    """Embed all clips, and write a .npy file for each modality.

    Returns modality -> the content of its file, (n, dim) float32, memory-mapped for reading and writing.
    """
    arrays: dict[str, np.memmap] = {}
    for clips, embeddings in embed_blocks(model, data):
        # A model of one modality returns its embeddings twice, but has only one name for them.
        for modality, vectors in zip(model.module.embedding_names, embeddings, strict=False):
            if modality not in arrays:
                arrays[modality] = _create_mapped(folder / f"{modality}.npy", (len(data), vectors.shape[1]))
            arrays[modality][clips] = vectors
    return arrays


def _create_mapped(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Create a memory-mapped .npy file of float32.

    Its disk space is reserved now: otherwise, a full disk would kill the process with SIGBUS later.
    """
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as f:
            os.posix_fallocate(f.fileno(), 0, path.stat().st_size)
    return array


def indexed_modalities(model: Model) -> list[str]:
    """Return the names of the embeddings that have an index: those with one vector for each clip.

    A model that localizes sounds has several vectors for each picture, so its pictures have no index.
    """
    names = model.module.embedding_names
    return [name for name in names if not (name == "video" and model.module.has_map)]
