"""Nearest vectors among many, by FAISS: vectors of length 1, so that nearest is the largest scalar product.

- `flat`: exact; every vector is looked at.
- `hnsw`: a graph of neighbours (Malkov and Yashunin, arXiv 1603.09320); fast, and larger than the vectors.
- `ivf_pq`: cells, and 8 bits for each 2 numbers (Jegou et al., 2011); small. Its best are compared exactly
  with the stored vectors, of which only those few are read.
- `auto`: the first of these that is fast enough for so many.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from pipeline.errors import UserError

KINDS = ("auto", "flat", "hnsw", "ivf_pq")
FLAT, HNSW = 20_000, 5_000_000  # up to so many vectors
LEAST = 39 * 256  # vectors that IVF-PQ learns from
LINKS, BUILD, SEARCH = 32, 80, 192  # HNSW: neighbours of each, and candidates while building and searching
AGAIN = 20  # IVF-PQ: so many times k are compared exactly
TRAINING = 200_000  # vectors that IVF-PQ learns its cells from


def chosen(kind: str, count: int) -> str:
    """What `kind` of the parameters means for so many vectors: IVF-PQ cannot learn from few."""
    if kind == "ivf_pq" and count < LEAST:
        return "flat"
    if kind != "auto":
        return kind
    return "flat" if count <= FLAT else "hnsw" if count <= HNSW else "ivf_pq"


def build(vectors: np.ndarray, kind: str) -> faiss.Index:
    """An index of (n, dim) float32 rows of length 1. kind: flat, hnsw or ivf_pq."""
    count, dim = vectors.shape
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, SEARCH
    else:
        cells = min(round(4 * count**0.5), count // 39)  # FAISS wants 39 vectors to learn a cell from
        parts = next(m for m in (dim // 2, 1) if m and dim % m == 0)
        index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, cells, parts, 8, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(16, cells // 32)
        rows = np.random.default_rng(0).permutation(count)[:TRAINING]
        index.train(np.ascontiguousarray(vectors[np.sort(rows)]))
    for start in range(0, count, 65_536):  # the vectors may be mapped from disk
        index.add(np.ascontiguousarray(vectors[start : start + 65_536]))
    return index


@dataclass
class Searcher:
    """An index, and the vectors it was built from: (n, dim), in memory or mapped."""

    index: faiss.Index
    vectors: np.ndarray

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(m, dim) to rows (m, k) and their scalar products (m, k), best first; k is at most n."""
        k = min(k, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        if not isinstance(self.index, faiss.IndexIVFPQ):
            scores, rows = self.index.search(queries, k)
            return rows, scores
        _, near = self.index.search(queries, min(k * AGAIN, len(self.vectors)))
        rows, scores = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        for i, (query, candidates) in enumerate(zip(queries, near, strict=True)):
            candidates = np.sort(candidates[candidates >= 0])
            exact = self.vectors[candidates] @ query
            best = np.argsort(-exact, kind="stable")[:k]
            rows[i, : len(best)], scores[i, : len(best)] = candidates[best], exact[best]
        return rows, scores


def recall(searcher: Searcher, queries: np.ndarray, k: int = 10) -> float:
    """The share of the k nearest, as an exact search finds them, that `searcher` finds. queries: (m, dim)."""
    exact = faiss.knn(
        np.ascontiguousarray(queries, np.float32),
        np.ascontiguousarray(searcher.vectors, np.float32),
        min(k, len(searcher.vectors)),
        metric=faiss.METRIC_INNER_PRODUCT,
    )[1]
    found, _ = searcher.search(queries, k)
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, found, strict=True)]))


def save(index: faiss.Index, path: str | Path) -> None:
    with open(
        path, "wb"
    ) as f:  # FAISS's own writer does not tell of a disk that is full as it closes the file
        faiss.write_index(index, faiss.PyCallbackIOWriter(f.write))  # type: ignore[attr-defined]  # of its Python part


def _alone(path: str | Path) -> bool:
    """Whether the index is of a kind that `build` makes and has all that belongs to it in its own file.

    FAISS has lists that lie in a file which the index names (`ilod`), and opens it for reading and writing.
    """
    with open(path, "rb") as f:
        head = f.read(57)
        if head[:4] == b"IHNf":  # vectors of length 1 and row numbers: no such bytes by chance
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(b"ilod") < 0
    if head[:4] != b"IwPQ":
        return head[:4] == b"IxFI"
    try:
        faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA)
    except RuntimeError:
        return head[53:] == b"IxFI"  # lists of its own cannot be left out, so that this always fails
    return False


def load(path: str | Path, vectors: np.ndarray) -> Searcher:
    """Raises UserError where there is no index, or one of other vectors."""
    if not Path(path).is_file():
        raise UserError(f"{path}: not there: run dvc repro index")
    if not _alone(path):
        raise UserError(
            f"{path}: cannot be read: no index of this project's, or one that names another file:"
            " run dvc repro index"
        )
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as e:
        raise UserError(
            f"{path}: cannot be read ({' '.join(str(e).split())[-120:]}): run dvc repro index"
        ) from None
    if (index.ntotal, index.d) != vectors.shape:
        raise UserError(
            f"{path}: {index.ntotal} vectors, but there are {len(vectors)} clips: run dvc repro index"
        )
    return Searcher(index, vectors)
