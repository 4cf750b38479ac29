"""Nearest-neighbour search with FAISS. Vectors have length 1, so the nearest has the largest inner product.

- `flat`: exact; compares with every vector.
- `hnsw`: a graph of neighbours (Malkov and Yashunin, arXiv 1603.09320); fast, and larger than the vectors.
- `ivf_pq`: product quantization in cells, 8 bits for each 2 numbers (Jegou et al., 2011); small. The best
  candidates are compared exactly with the stored vectors; only these vectors are read.
- `auto`: the first of these that is fast enough for the number of vectors.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from pipeline.errors import UserError

KINDS = ("auto", "flat", "hnsw", "ivf_pq")
FLAT, HNSW = 20_000, 5_000_000  # largest number of vectors for which `auto` is flat, hnsw
LEAST = 39 * 256  # smallest number of vectors that IVF-PQ can be trained with
LINKS, BUILD, SEARCH = 32, 80, 192  # HNSW: neighbours per vector, candidates while building and searching
CANDIDATES = 20  # IVF-PQ: CANDIDATES * k vectors are compared exactly
TRAINING = 200_000  # maximum number of vectors that IVF-PQ is trained with


def resolve_kind(kind: str, count: int) -> str:
    """Return the kind of index for `count` vectors: resolves `auto`, and ivf_pq for too few vectors."""
    if kind == "ivf_pq" and count < LEAST:
        return "flat"
    if kind != "auto":
        return kind
    return "flat" if count <= FLAT else "hnsw" if count <= HNSW else "ivf_pq"


def build(vectors: np.ndarray, kind: str) -> faiss.Index:
    """Build an index of (n, dim) float32 rows of length 1. kind: flat, hnsw or ivf_pq."""
    count, dim = vectors.shape
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, SEARCH
    else:
        cells = min(round(4 * count**0.5), count // 39)  # FAISS needs 39 vectors to train a cell
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
        """Search for queries (m, dim). Returns rows and inner products, (m, k) each, best first.

        k: reduced to the number of vectors if it is larger.
        """
        k = min(k, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        if not isinstance(self.index, faiss.IndexIVFPQ):
            scores, rows = self.index.search(queries, k)
            return rows, scores
        _, near = self.index.search(queries, min(k * CANDIDATES, len(self.vectors)))
        rows, scores = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        for i, (query, candidates) in enumerate(zip(queries, near, strict=True)):
            candidates = np.sort(candidates[candidates >= 0])
            exact = self.vectors[candidates] @ query
            best = np.argsort(-exact, kind="stable")[:k]
            rows[i, : len(best)], scores[i, : len(best)] = candidates[best], exact[best]
        return rows, scores


def recall(searcher: Searcher, queries: np.ndarray, k: int = 10) -> float:
    """Return the share of the k exact nearest neighbours that `searcher` finds. queries: (m, dim)."""
    exact = faiss.knn(
        np.ascontiguousarray(queries, np.float32),
        np.ascontiguousarray(searcher.vectors, np.float32),
        min(k, len(searcher.vectors)),
        metric=faiss.METRIC_INNER_PRODUCT,
    )[1]
    rows, _ = searcher.search(queries, k)
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, rows, strict=True)]))


def save(index: faiss.Index, path: str | Path) -> None:
    # FAISS's own writer does not report a full disk when it closes the file.
    with open(path, "wb") as f:
        faiss.write_index(index, faiss.PyCallbackIOWriter(f.write))  # type: ignore[attr-defined]  # not in its stubs


def _is_self_contained(path: str | Path) -> bool:
    """Return whether the index is of a kind that `build` makes and refers to no other file.

    An index of FAISS can name a second file with its inverted lists (`ilod`), which FAISS opens for reading
    and writing. So an index from elsewhere could open any file.
    """
    with open(path, "rb") as f:
        head = f.read(57)
        if head[:4] == b"IHNf":  # HNSW: its vectors and row numbers do not contain these bytes by chance
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(b"ilod") < 0
    if head[:4] != b"IwPQ":
        return head[:4] == b"IxFI"
    try:
        faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA)
    except RuntimeError:
        return head[53:] == b"IxFI"  # skipping fails for lists inside the file, which are safe
    return False


def load(path: str | Path, vectors: np.ndarray) -> Searcher:
    """Load the index of these vectors. Raises UserError if there is none, or it has other vectors."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file: run dvc repro index")
    if not _is_self_contained(path):
        raise UserError(
            f"{path}: cannot be read: Earsight did not write this index, or it refers to another file:"
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
