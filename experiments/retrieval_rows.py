"""Retrieval tables of studies: nDCG@30 in four directions, over seeds."""

from typing import Any

import numpy as np

from pipeline.metrics import retrieval
from pipeline.metrics.over_seeds import cell

Embeddings = dict[str, np.ndarray]  # "audio" and "video", (n, d) each
DIRECTIONS = {  # in the order of Objects that Sound
    "video_to_video": "picture to picture",
    "video_to_audio": "picture to sound",
    "audio_to_video": "sound to picture",
    "audio_to_audio": "sound to sound",
}
ABOUT = "A clip is relevant if it shares a label; the query's own clip is left out."


def evaluate(
    models: dict[str, list[Embeddings]], labels: list, groups: list, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Evaluate several models. models: row -> embeddings of the test split, one for each seed.

    Returns row -> direction -> {"ndcg_30", "ci", "n", "seeds": of each seed}, and the row "chance".
    """
    rows: dict[str, Any] = {}
    for row, runs in models.items():
        over_seeds = retrieval.evaluate(runs, labels, groups, bootstrap, seed)
        each_seed = [retrieval.evaluate(run, labels, groups, 0, seed) for run in runs]
        rows[row] = {
            direction: {
                "ndcg_30": m["ndcg_30"],
                "ci": {"ndcg_30": m["ci"]["ndcg_30"]},
                "n": m["n_relevant"],
                "seeds": [metrics[direction]["ndcg_30"] for metrics in each_seed],
            }
            for direction, m in over_seeds.items()
        }
        chance = {
            direction: {"ndcg_30": m["chance"]["ndcg_30"], "n": m["n_relevant"]}
            for direction, m in over_seeds.items()
        }
    return {"chance": chance} | rows


def markdown(rows: dict[str, Any]) -> list[str]:
    """Return the lines of the table of `evaluate`."""
    lines = [
        "| | " + " | ".join(DIRECTIONS.values()) + " |",
        "| --- |" + " --- |" * len(DIRECTIONS),
        "| chance | " + " | ".join(f"{rows['chance'][d]['ndcg_30']:.3f}" for d in DIRECTIONS) + " |",
    ]
    for row, directions in rows.items():
        if row != "chance":
            cells = " | ".join(cell(directions[d], "ndcg_30") for d in DIRECTIONS)
            lines.append(f"| {row} | {cells} |")
    return lines
