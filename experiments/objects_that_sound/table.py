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

L3_NET, L3_NET_CCA, AVE_NET = METHODS = ("L3-Net", "L3-Net with CCA", "AVE-Net")  # rows of the table
MATCHERS = {L3_NET: "concat", AVE_NET: "distance"}  # method that is trained -> matcher


def align(train: Embeddings, test: Embeddings, components: int) -> Embeddings:
    """Project the embeddings of test clips onto the directions in which audio and video correlate most.

    train: embeddings of the training clips, from which canonical correlation analysis finds the directions.
    components: their number, if so many exist. There are no more than columns that vary, and no more than
    training clips less one.
    """
    rank = min(np.linalg.matrix_rank(embeddings - embeddings.mean(0)) for embeddings in train.values())
    cca = CCA(n_components=max(min(components, rank), 1), max_iter=2000).fit(train["audio"], train["video"])
    audio, video = cca.transform(test["audio"], test["video"])
    return {"audio": audio, "video": video}


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
    about, results = metrics["about"], metrics["results"]
    example = results[L3_NET]["audio_to_audio"]  # the other results have as many seeds and queries
    lines = [
        f"{about['train_clips']} clips train, for {about['epochs']} epochs; encoders"
        f" `{about['audio_encoder']}` and `{about['video_encoder']}`, `loss: {about['loss']}`,"
        f" `pairing: {about['pairing']}`.",
        "",
        f"nDCG@30 by Euclidean distance, the mean over {len(example['seeds'])} seeds, with its 95% interval"
        f" (bootstrap over videos, {example['n']} queries) and the value of each seed."
        f" {retrieval_rows.ABOUT}",
        "",
        *retrieval_rows.markdown(results),
    ]
    return "\n".join(lines) + "\n"
