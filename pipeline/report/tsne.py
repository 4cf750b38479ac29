"""t-SNE: a two-dimensional map in which clips with similar embeddings are near each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_POINTS = 1000  # more overlap too much, and take minutes
KINDS = {"audio": "sound", "video": "picture", "both": "sound and picture"}  # side -> word for the user
MIN_POINTS = 4  # fewer have no map
PERPLEXITY = 30.0  # scikit-learn's default; smaller for few points


def map_test_clips(folder: Path, clips: pa.Table) -> list[dict[str, Any]]:
    """Project the embeddings of the test split; returns the points of `project`.

    folder: holds the embeddings that the stage `index` wrote, `<side>.npy` (clips, dim). clips: their clips.
    """
    test_rows = np.flatnonzero(pc.fill_null(pc.equal(clips["split"], "test"), False))
    paths = {side: folder / f"{side}.npy" for side in KINDS}
    embeddings = {
        side: np.load(path, mmap_mode="r")[test_rows] for side, path in paths.items() if path.exists()
    }
    return project(embeddings, clips.take(test_rows).to_pylist())


def project(embeddings: dict[str, np.ndarray], clips: list[dict], seed: int = 0) -> list[dict[str, Any]]:
    """Project the embeddings of both modalities together, by t-SNE with cosine distance.

    embeddings: "audio" and "video", or one of them, or "both" (one embedding of sound and picture); each
    (n, dim), row i of clip i. Arrays of another dim than the first are left out. clips: of each clip,
    {"clip_id", "labels"}. If there are more than MAX_POINTS points, `seed` selects a sample of the clips.
    Returns points {"clip_id", "kind": a value of KINDS, "label": the clip's first label, or empty, "x", "y"};
    an empty list for fewer than MIN_POINTS points. Source: van der Maaten and Hinton, 2008.
    """
    dims = [vectors.shape[1] for vectors in embeddings.values()]
    sides = {side: vectors for side, vectors in embeddings.items() if vectors.shape[1] == dims[0]}
    rows = np.random.default_rng(seed).permutation(len(clips))[: MAX_POINTS // max(len(sides), 1)]
    if len(rows) * len(sides) < MIN_POINTS:
        return []
    from sklearn.manifold import TSNE  # takes a second to import: only for who draws a map

    rows.sort()
    points = np.concatenate([np.asarray(vectors[rows], np.float32) for vectors in sides.values()])
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)  # scikit-learn wants fewer neighbours than points
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    coordinates = tsne.fit_transform(points)
    point_clips = [(side, clips[row]) for side in sides for row in rows]
    return [
        {
            "clip_id": clip["clip_id"],
            "kind": KINDS[side],
            "label": (clip["labels"] or [""])[0],
            "x": float(x),
            "y": float(y),
        }
        for (side, clip), (x, y) in zip(point_clips, coordinates, strict=True)
    ]
