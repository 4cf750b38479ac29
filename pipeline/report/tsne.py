"""A map in two dimensions on which clips lie near each other whose embeddings do."""

from typing import Any

import numpy as np
from sklearn.manifold import TSNE

MOST = 1000  # points: more are a blur, and take minutes
KINDS = {"audio": "sound", "video": "picture", "both": "sound and picture"}


def flat(embeddings: dict[str, np.ndarray], clips: list[dict], seed: int = 0) -> list[dict[str, Any]]:
    """t-SNE (van der Maaten and Hinton, 2008) of both modalities at once, by cosine.

    embeddings: "audio" and "video" (n, dim), or one of them, or "both" in one; row i of clip i. clips:
    {"clip_id", "labels"}. Of more than MOST points, some clips are drawn by `seed`. Vectors of other
    dimensions than the sounds' are left out. Returns {"clip_id", "kind" (of
    KINDS), "label" (the first, or empty), "x", "y"}.
    """
    sides = {s: v for s, v in embeddings.items() if v.shape[1] == next(iter(embeddings.values())).shape[1]}
    rows = np.random.default_rng(seed).permutation(len(clips))[: MOST // max(len(sides), 1)]
    if len(rows) * len(sides) < 4:
        return []
    rows.sort()
    points = np.concatenate([np.asarray(v[rows], np.float32) for v in sides.values()])
    perplexity = min(30.0, (len(points) - 1) / 3)
    found = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed).fit_transform(
        points
    )
    named = [(side, clips[row]) for side in sides for row in rows]
    return [
        {
            "clip_id": clip["clip_id"],
            "kind": KINDS[side],
            "label": (clip["labels"] or [""])[0],
            "x": float(x),
            "y": float(y),
        }
        for (side, clip), (x, y) in zip(named, found, strict=True)
    ]
