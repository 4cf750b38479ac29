"""t-SNE: a two-dimensional map in which clips with similar embeddings are near each other."""

from typing import Any

import numpy as np
from sklearn.manifold import TSNE

MAX_POINTS = 1000  # more overlap too much, and take minutes
KINDS = {"audio": "sound", "video": "picture", "both": "sound and picture"}


def project(embeddings: dict[str, np.ndarray], clips: list[dict], seed: int = 0) -> list[dict[str, Any]]:
    """Project the embeddings of both modalities together, by t-SNE with cosine distance.

    embeddings: "audio" and "video", or one of them, or "both" (one embedding of sound and picture); each
    (n, dim), row i of clip i. Arrays of another dimension than the first are left out. clips: {"clip_id",
    "labels"}. If there are more than MAX_POINTS points, `seed` selects a sample of the clips.
    Returns points {"clip_id", "kind" (a value of KINDS), "label" (the first, or empty), "x", "y"}; an empty
    list for fewer than 4 points. Source: van der Maaten and Hinton, 2008.
    """
    sides = {s: v for s, v in embeddings.items() if v.shape[1] == next(iter(embeddings.values())).shape[1]}
    rows = np.random.default_rng(seed).permutation(len(clips))[: MAX_POINTS // max(len(sides), 1)]
    if len(rows) * len(sides) < 4:
        return []
    rows.sort()
    points = np.concatenate([np.asarray(v[rows], np.float32) for v in sides.values()])
    perplexity = min(30.0, (len(points) - 1) / 3)
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
