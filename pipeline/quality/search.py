"""Nearest neighbours of binary codes with FAISS, exact for few codes and approximate for many."""

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

MAX_EXACT = 20_000  # codes that are all compared; more are divided into cells
CELLS_SEARCHED = 32  # for a query, of 4 * sqrt(codes) cells: twice as many codes are compared as centres
NEIGHBOURS = 8  # of a query
CHUNK = 65_536  # codes or queries at a time


def build(codes: np.ndarray) -> Any:
    """Return an index of codes (n, bytes) uint8.

    The centre of a cell is one of the codes, drawn with a fixed seed: unlike cells from k-means, they are the
    same on every machine.
    """
    count, n_bytes = codes.shape
    if count <= MAX_EXACT:
        index: Any = faiss.IndexBinaryFlat(8 * n_bytes)
    else:
        n_cells = round(4 * count**0.5)
        rows = np.random.default_rng(0).choice(count, n_cells, replace=False)
        centres = faiss.IndexBinaryFlat(8 * n_bytes)
        centres.add(np.ascontiguousarray(codes[np.sort(rows)]))
        index = faiss.IndexBinaryIVF(centres, 8 * n_bytes, n_cells)
        index.is_trained = True
        index.nprobe = CELLS_SEARCHED
        index.quantizer_of_cells = centres  # the index does not keep it alive
    for start in range(0, count, CHUNK):
        index.add(np.ascontiguousarray(codes[start : start + CHUNK]))
    return index


def search(index: Any, queries: np.ndarray, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield row numbers of queries and of their nearest codes, (m,) each, with at most `radius` other bits.

    queries: (n, bytes) uint8.
    """
    k = min(NEIGHBOURS, index.ntotal)
    for start in range(0, len(queries) if k else 0, CHUNK):
        distances, rows = index.search(np.ascontiguousarray(queries[start : start + CHUNK]), k)
        near = (rows >= 0) & (distances <= radius)
        query, _ = np.nonzero(near)
        yield query + start, rows[near]
