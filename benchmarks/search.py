"""How fast search and retrieval's evaluation are: `python -m benchmarks.search`.

1,000,000 clustered vectors of 128 numbers, each kind of index: milliseconds a query on one core, recall@10,
time to build on all cores, memory, size. The usual way beside it: all scalar products by NumPy, and a sort.
Then the evaluation of 10,000 clips against 10,000 in four directions, every metric.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks import result_files
from models.inference import vector_index
from pipeline.metrics import retrieval

QUERIES, CLUSTERS, DIM = 1000, 5000, 128


def make_clustered_vectors(count: int, queries: int, dim: int = DIM) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around centres, (count, dim) float32, and `queries` of the same kind."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, dim)).astype(np.float32)
    vectors = centres[rng.integers(0, CLUSTERS, count + queries)]
    vectors += rng.normal(scale=0.6, size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:count], vectors[count:]


def memory(key: str) -> float:
    """GiB of memory that this process holds (VmRSS) or held at most (VmHWM)."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(key)).split()[1]) / 2**20


def index(kind: str, count: int) -> dict:
    vectors, queries = make_clustered_vectors(count, QUERIES)
    memory_before, start = memory("VmRSS"), time.perf_counter()
    searcher = vector_index.Searcher(vector_index.build(vectors, kind), vectors)
    build_seconds = time.perf_counter() - start
    memory_gib = memory("VmRSS") - memory_before
    faiss.omp_set_num_threads(1)
    start = time.perf_counter()
    for query in queries:
        searcher.search(query[None], 10)
    each = (time.perf_counter() - start) / len(queries) * 1000
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    recall = vector_index.recall(searcher, queries)
    with tempfile.NamedTemporaryFile() as file:
        vector_index.save(searcher.index, file.name)
        size = os.path.getsize(file.name) / 2**20
    return {
        "kind": kind,
        "vectors": count,
        "ms_a_query": round(each, 3),
        "recall_10": round(recall, 4),
        "build_s": round(build_seconds, 1),
        "memory_gib": round(memory_gib, 2),
        "file_mib": round(size),
    }


def usual(count: int) -> dict:
    vectors, queries = make_clustered_vectors(count, 20)
    start = time.perf_counter()
    for query in queries:
        np.argsort(-(vectors @ query))[:10]
    return {
        "kind": "NumPy",
        "vectors": count,
        "ms_a_query": round((time.perf_counter() - start) / 20 * 1000, 1),
    }


def evaluation(count: int) -> dict:
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(count, DIM)).astype(np.float32)
    video = audio + 2 * rng.normal(size=(count, DIM)).astype(np.float32)
    labels = [[f"class {i}"] for i in rng.integers(0, 50, count)]
    start = time.perf_counter()
    retrieval.evaluate({"audio": audio, "video": video}, labels, None, 1000, 0)
    return {"clips": count, "s": round(time.perf_counter() - start, 1), "peak_gib": round(memory("VmHWM"), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    if options.one:
        measurements = {
            "usual": lambda: usual(options.vectors),
            "evaluation": lambda: evaluation(options.clips),
        }
        print(json.dumps(measurements.get(options.one, lambda: index(options.one, options.vectors))()))
        return
    results = {}
    for name in ("usual", "flat", "hnsw", "ivf_pq", "evaluation"):
        command = [sys.executable, "-m", "benchmarks.search", f"--one={name}"]
        command += [f"--vectors={options.vectors}", f"--clips={options.clips}"]
        env = os.environ | {"OMP_NUM_THREADS": "1"} if name == "usual" else None
        line = subprocess.run(
            command, check=True, capture_output=True, text=True, env=env
        ).stdout.splitlines()[-1]
        results[name] = json.loads(line)
        print(", ".join(f"{k} {v}" for k, v in results[name].items()), flush=True)
    result_files.save("search", results)


if __name__ == "__main__":
    main()
