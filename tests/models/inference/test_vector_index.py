"""Indexes: exact or with high recall, and never with rows that do not exist."""

import faiss
import numpy as np
import pytest

from models.inference import vector_index
from pipeline.config.params import IndexParams
from pipeline.errors import UserError


def unit(rng, count, dim):
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(count, dim, seed=0):
    centres = unit(np.random.default_rng(99), 50, dim)
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, 50, count)] + 0.5 * unit(rng, count, dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("hnsw", 0.98), ("ivf_pq", 0.95)])
def test_it_finds_what_an_exact_search_finds(kind, least):
    vectors, queries = clustered(12_000, 32), clustered(50, 32, seed=1)
    searcher = vector_index.Searcher(vector_index.build(vectors, kind), vectors)
    rows, scores = searcher.search(queries, 10)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)])
    assert shared >= least and shared == pytest.approx(vector_index.recall(searcher, queries), abs=0.003)
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    picked = np.einsum("qd,qkd->qk", queries, vectors[rows])
    assert np.allclose(scores, picked, atol=1e-5)  # exact cosine similarity, whatever the index compresses


@pytest.mark.parametrize("kind", vector_index.KINDS)
@pytest.mark.parametrize("count", [1, 3, 100])
def test_few_vectors_are_enough(kind, count, capfd):
    vectors = clustered(count, 8)
    index = vector_index.build(vectors, vector_index.resolve_kind(kind, count))
    rows, _ = vector_index.Searcher(index, vectors).search(vectors[:1], 10)
    hits = rows[0][rows[0] >= 0]
    assert hits[0] == 0 and len(set(hits)) == len(hits) <= count
    assert not capfd.readouterr().err


def test_auto_depends_on_the_number():
    assert [
        vector_index.resolve_kind("auto", n)
        for n in (1, vector_index.MAX_FLAT, vector_index.MAX_FLAT + 1, vector_index.MAX_HNSW + 1)
    ] == [
        "flat",
        "flat",
        "hnsw",
        "ivf_pq",
    ]
    assert vector_index.resolve_kind("ivf_pq", vector_index.MIN_IVF_PQ) == "ivf_pq"
    assert vector_index.resolve_kind("ivf_pq", vector_index.MIN_IVF_PQ - 1) == "flat"
    for kind in vector_index.KINDS:
        assert IndexParams(kind=kind)


def test_save_and_load_and_wrong_indexes(tmp_path):
    vectors = clustered(200, 16)
    vector_index.save(vector_index.build(vectors, "hnsw"), tmp_path / "a.faiss")
    searcher = vector_index.load(tmp_path / "a.faiss", vectors)
    assert isinstance(searcher.index, faiss.IndexHNSWFlat) and searcher.search(vectors[:1], 1)[0][0, 0] == 0
    with pytest.raises(UserError, match="200 vectors, but there are 199 clips"):
        vector_index.load(tmp_path / "a.faiss", vectors[1:])
    with pytest.raises(UserError, match="no such file: run dvc repro index"):
        vector_index.load(tmp_path / "b.faiss", vectors)
    (tmp_path / "a.faiss").write_bytes(b"no index")
    with pytest.raises(UserError, match="cannot be read"):
        vector_index.load(tmp_path / "a.faiss", vectors)
