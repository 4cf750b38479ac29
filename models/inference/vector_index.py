"""Nearest-neighbour search with FAISS. Vectors have length 1, so the nearest has the largest inner product.

Kinds of index:

- `flat`: compares a query with every vector; exact.
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
MAX_FLAT, MAX_HNSW = 20_000, 5_000_000  # largest number of vectors for which `auto` is flat, hnsw
VECTORS_PER_CELL = 39  # FAISS needs so many vectors to train one cell or one code of IVF-PQ
MIN_IVF_PQ = VECTORS_PER_CELL * 256  # smallest number of vectors for IVF-PQ, which has 256 codes
MAX_TRAINING = 200_000  # largest number of vectors that IVF-PQ is trained with
CANDIDATES = 20  # IVF-PQ: CANDIDATES * k vectors are compared exactly
# HNSW: neighbours of a vector in the graph, and candidates while building and while searching
HNSW_NEIGHBOURS, HNSW_BUILD_CANDIDATES, HNSW_SEARCH_CANDIDATES = 32, 80, 192
CHUNK = 65_536  # vectors added to an index at a time; they may be mapped from disk
# The first four bytes of an index file say what kind of index it has.
FLAT_MARK, HNSW_MARK, IVF_PQ_MARK = b"IxFI", b"IHNf", b"IwPQ"
OTHER_FILE_MARK = b"ilod"  # the inverted lists are in another file
IVF_PQ_HEADER = 53  # bytes before the nested index of the cells


def resolve_kind(requested_kind: str, count: int) -> str:
    """Return the kind of index to build for `count` vectors: flat, hnsw or ivf_pq.

    This is `requested_kind`, one of KINDS, except for `auto`, and for ivf_pq if the vectors are too few.
    """
    if requested_kind == "ivf_pq" and count < MIN_IVF_PQ:
        return "flat"
    if requested_kind != "auto":
        return requested_kind
    if count <= MAX_FLAT:
        return "flat"
    return "hnsw" if count <= MAX_HNSW else "ivf_pq"


def build(vectors: np.ndarray, kind: str) -> faiss.Index:
    """Build an index of vectors: (n, dim) float32, each row of length 1. kind: flat, hnsw or ivf_pq."""
    count, dim = vectors.shape
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = HNSW_BUILD_CANDIDATES
        index.hnsw.efSearch = HNSW_SEARCH_CANDIDATES
    else:
        cells = min(round(4 * count**0.5), count // VECTORS_PER_CELL)
        subvectors = dim // 2 if dim % 2 == 0 else 1  # a code of 8 bits for each
        index = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(dim), dim, cells, subvectors, 8, faiss.METRIC_INNER_PRODUCT
        )
        index.nprobe = max(16, cells // 32)  # cells that are searched
        training_rows = np.random.default_rng(0).permutation(count)[:MAX_TRAINING]
        index.train(np.ascontiguousarray(vectors[np.sort(training_rows)]))
    for start in range(0, count, CHUNK):
        index.add(np.ascontiguousarray(vectors[start : start + CHUNK]))
    return index


@dataclass
class Searcher:
    """An index, and the vectors it was built from: (n, dim), in memory or memory-mapped."""

    index: faiss.Index
    vectors: np.ndarray

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k vectors nearest to each query. queries: (m, dim).

        Returns their rows and their inner products with the query, (m, k) each, best first. A row is -1 where
        fewer than k are found. k is reduced to the number of vectors if it is larger.
        """
        k = min(k, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        if not isinstance(self.index, faiss.IndexIVFPQ):
            scores, rows = self.index.search(queries, k)
            return rows, scores
        # Product quantization is approximate: compute the inner products with the best candidates exactly.
        _, query_candidates = self.index.search(queries, min(k * CANDIDATES, len(self.vectors)))
        rows = np.full((len(queries), k), -1)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for i, (query, candidates) in enumerate(zip(queries, query_candidates, strict=True)):
            candidates = np.sort(candidates[candidates >= 0])
            exact_scores = self.vectors[candidates] @ query
            best = np.argsort(-exact_scores, kind="stable")[:k]
            rows[i, : len(best)] = candidates[best]
            scores[i, : len(best)] = exact_scores[best]
        return rows, scores


def recall(searcher: Searcher, queries: np.ndarray, k: int = 10) -> float:
    """Return which fraction of the k exact nearest neighbours the searcher finds, the mean over queries.

    queries: (m, dim).
    """
    _, exact_rows = faiss.knn(
        np.ascontiguousarray(queries, np.float32),
        np.ascontiguousarray(searcher.vectors, np.float32),
        min(k, len(searcher.vectors)),
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    rows, _ = searcher.search(queries, k)
    fractions = [
        len(set(exact) & set(approximate)) / len(exact)
        for exact, approximate in zip(exact_rows, rows, strict=True)
    ]
    return float(np.mean(fractions))


def save(index: faiss.Index, path: str | Path) -> None:
    """Write an index to a file."""
    # FAISS's own writer does not report a full disk when it closes the file.
    with open(path, "wb") as f:
        writer = faiss.PyCallbackIOWriter(f.write)  # type: ignore[attr-defined]  # not in its stubs
        faiss.write_index(index, writer)


def _is_self_contained(path: str | Path) -> bool:
    """Return whether the file has an index of a kind that `build` makes, and names no other file.

    An index of FAISS can name another file for its inverted lists, which FAISS opens for reading and writing.
    So a manipulated index could open any file.
    """
    with open(path, "rb") as f:
        head = f.read(IVF_PQ_HEADER + len(FLAT_MARK))
        mark = head[: len(FLAT_MARK)]
        if mark == HNSW_MARK:
            # Search the whole file. Its vectors and row numbers do not contain this mark by chance.
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(OTHER_FILE_MARK) < 0
    if mark != IVF_PQ_MARK:
        return mark == FLAT_MARK
    try:
        faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA)
    except RuntimeError:
        # This flag is an error for lists that are in the file itself, which are safe.
        return head[IVF_PQ_HEADER:] == FLAT_MARK
    return False


def load(path: str | Path, vectors: np.ndarray) -> Searcher:
    """Load the index that was built from `vectors`, (n, dim).

    Raises UserError if there is none, or it has another number of vectors or another dim.
    """
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
