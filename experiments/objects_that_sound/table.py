"""The retrieval table of Objects that Sound (arXiv 1712.06651, table 1).

- L3-Net: the two towers of AVE-Net, fused by a small network on both embeddings (matcher `concat`). Its loss
  does not bring matching embeddings near each other.
- L3-Net with CCA: its embeddings, aligned by canonical correlation analysis on the training clips.
- AVE-Net: trained by the distance of its embeddings (matcher `distance`).
"""

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA

from experiments import retrieval_rows
from experiments.retrieval_rows import Embeddings

MATCHERS = {"L3-Net": "concat", "AVE-Net": "distance"}
ROWS = ("L3-Net", "L3-Net with CCA", "AVE-Net")


def align(train: Embeddings, test: Embeddings, components: int) -> Embeddings:
    """Project `test` onto the directions in which audio and video of `train` correlate most.

    There are at most as many directions as columns that vary, and as clips less one.
    """
    rank = min(np.linalg.matrix_rank(x - x.mean(0)) for x in train.values())
    cca = CCA(n_components=max(min(components, rank), 1), max_iter=2000).fit(train["audio"], train["video"])
    audio, video = cca.transform(test["audio"], test["video"])
    return {"audio": audio, "video": video}


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: as in metrics.json."""
    about, rows = metrics["about"], metrics["results"]
    first = rows[ROWS[0]]["audio_to_audio"]
    lines = [
        f"{about['train_clips']} clips train, for {about['epochs']} epochs; encoders"
        f" `{about['audio_encoder']}` and `{about['video_encoder']}`, `loss: {about['loss']}`,"
        f" `pairing: {about['pairing']}`.",
        "",
        f"nDCG@30 by Euclidean distance, the mean over {len(first['seeds'])} seeds, with its 95% interval"
        f" (bootstrap over videos, {first['n']} queries) and the value of each seed. {retrieval_rows.ABOUT}",
        "",
        *retrieval_rows.markdown(rows),
    ]
    return "\n".join(lines) + "\n"
