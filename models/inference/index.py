"""Embeddings of every clip, and an index of them: what the stage `index` writes and `search` asks."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.checkpoint import Model
from models.inference import vector_index
from models.inference.distributed import embedded
from pipeline.dataset.dataset import Dataset

QUERIES = 1000  # at most so many clips ask, for the recall


def write(
    model: Model, data: Dataset, kind: str, embeddings: str | Path, folder: str | Path, seed: int
) -> dict:
    """Embed every clip's middle window and index both modalities.

    embeddings: gets audio.npy and video.npy, (n, dim) float32, and clips.parquet, row i of each of clip i.
    folder: gets audio.faiss and video.faiss. A model with a vector for each place gives no index of pictures;
    a classifier that stacks sound and picture gives one vector for both, and both.npy, both.faiss.
    Returns {direction: {"kind", "n", "recall_10", "queries"}}: recall against exact search, asked with clips.
    """
    embeddings, folder = Path(embeddings), Path(folder)
    for place in (embeddings, folder):
        shutil.rmtree(place, ignore_errors=True)  # its files may be links into a cache
        place.mkdir(parents=True, exist_ok=True)  # a link to a folder, or a disk of its own, stays
    table = {
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
    pq.write_table(pa.table(table, schema=schema), embeddings / "clips.parquet")
    stored: dict[str, np.memmap] = {}
    for clips, both in embedded(model, data):
        for name, found in zip(sides(model), both, strict=False):
            if name not in stored:
                shape = (len(data), found.shape[1])
                stored[name] = _mapped(embeddings / f"{name}.npy", shape)
            stored[name][clips] = found
    kind = vector_index.chosen(kind, len(data))
    rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:QUERIES])
    told = {}
    for target in indexed(model):
        stored[target].flush()
        searcher = vector_index.Searcher(vector_index.build(stored[target], kind), stored[target])
        vector_index.save(searcher.index, folder / f"{target}.faiss")
        for source in indexed(model) if model.module.cross_modal else [target]:
            share = vector_index.recall(searcher, stored[source][rows])
            told[f"{source}_to_{target}"] = {
                "kind": kind,
                "n": len(data),
                "recall_10": share,
                "queries": len(rows),
            }
    return told


def _mapped(path: Path, shape: tuple[int, int]) -> np.memmap:
    """A new file of float32 to write through a map. A full disk is an error now, and no SIGBUS later."""
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as f:
            os.posix_fallocate(f.fileno(), 0, path.stat().st_size)
    return array


def sides(model: Model) -> list[str]:
    """What the model embeds."""
    return list(model.module.embedding_names)


def indexed(model: Model) -> list[str]:
    """Of which there is an index: one vector a clip."""
    return [side for side in sides(model) if not (side == "video" and model.module.has_map)]
