"""The retrieval table of Objects that Sound (arXiv 1712.06651, table 1), on our own data.

nDCG@30 by Euclidean distance of the embeddings, in four directions:

- chance: the expected value of a random order.
- L3-Net: the same two towers, fused by a small network on both embeddings (matcher `concat`). Nothing asks
  its embeddings to lie near each other.
- L3-Net with CCA: its embeddings, brought together by canonical correlation analysis on the training clips.
- AVE-Net: trained by the distance of its embeddings (matcher `distance`).
"""

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA

from pipeline.metrics import retrieval
from pipeline.metrics.over_seeds import cell

Embeddings = dict[str, np.ndarray]  # "audio" and "video", (n, d) each
ROWS = ("L3-Net", "L3-Net with CCA", "AVE-Net")
HEADS = {  # in the paper's order
    "video_to_video": "picture to picture",
    "video_to_audio": "picture to sound",
    "audio_to_video": "sound to picture",
    "audio_to_audio": "sound to sound",
}


def aligned(train: Embeddings, test: Embeddings, components: int) -> Embeddings:
    """`test` in the directions along which sounds and pictures of `train` agree most.

    Of (n, d) there are at most so many directions as columns that differ, and as clips less one.
    """
    rank = min(np.linalg.matrix_rank(x - x.mean(0)) for x in train.values())
    cca = CCA(n_components=max(min(components, rank), 1), max_iter=2000).fit(train["audio"], train["video"])
    audio, video = cca.transform(test["audio"], test["video"])
    return {"audio": audio, "video": video}


def table(
    models: dict[str, list[Embeddings]], labels: list, groups: list, bootstrap: int, seed: int
) -> dict[str, Any]:
    """models: row -> embeddings of the test split, one for each seed.

    Returns row -> direction -> {"ndcg_30", "ci", "n", "seeds": each seed's}, and row "chance".
    """
    found: dict[str, Any] = {}
    for row, runs in models.items():
        mean = retrieval.evaluate(runs, labels, groups, bootstrap, seed)
        alone = [retrieval.evaluate(run, labels, groups, 0, seed) for run in runs]
        found[row] = {
            direction: {
                "ndcg_30": m["ndcg_30"],
                "ci": {"ndcg_30": m["ci"]["ndcg_30"]},
                "n": m["n_relevant"],
                "seeds": [a[direction]["ndcg_30"] for a in alone],
            }
            for direction, m in mean.items()
        }
        chance = {d: {"ndcg_30": m["chance"]["ndcg_30"], "n": m["n_relevant"]} for d, m in mean.items()}
    return {"chance": chance} | found


def markdown(found: dict[str, Any], about: str) -> str:
    """docs/retrieval.md. about: a sentence on how the models were made."""
    first = found[ROWS[0]]["audio_to_audio"]
    lines = [
        "# Retrieval: AVE-Net against what came before it",
        "",
        f"Written by `make grid` (stage `retrieval`). {about}",
        "",
        f"nDCG@30 by Euclidean distance, the mean over {len(first['seeds'])} seeds, with its 95% interval"
        f" (bootstrap over videos, {first['n']} queries) and each seed's value. A clip is relevant if it"
        " shares a label; the query's own clip is left out.",
        "",
        *rows(found),
        "",
        "The paper's own, on AudioSet (table 1), in the same order: chance .407; L3-Net .567, .418, .385,"
        " .653; with CCA .578, .531, .560, .649; AVE-Net .604, .561, .587, .665. Its labels, clips and sizes"
        " are others: what can be compared is the order of the lines.",
    ]
    return "\n".join(lines) + "\n"


def rows(found: dict[str, Any]) -> list[str]:
    """The table of `table` in Markdown."""
    lines = [
        "| | " + " | ".join(HEADS.values()) + " |",
        "| --- |" + " --- |" * len(HEADS),
        "| chance | " + " | ".join(f"{found['chance'][d]['ndcg_30']:.3f}" for d in HEADS) + " |",
    ]
    for row, directions in found.items():
        if row != "chance":
            cells = " | ".join(cell(directions[d], "ndcg_30") for d in HEADS)
            lines.append(f"| {row} | {cells} |")
    return lines
