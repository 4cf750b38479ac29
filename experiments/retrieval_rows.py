"""Retrieval tables, which several studies have: nDCG@30 in four directions, over seeds."""

from typing import Any

import numpy as np

from pipeline.metrics import retrieval
from pipeline.metrics.over_seeds import cell

Embeddings = dict[str, np.ndarray]  # "audio" and "video" -> (n, dim)
DIRECTIONS = {  # direction -> title of its column, in the order of Objects that Sound
    "video_to_video": "picture to picture",
    "video_to_audio": "picture to sound",
    "audio_to_video": "sound to picture",
    "audio_to_audio": "sound to sound",
}
ABOUT = "A clip is relevant if it shares a label; the query's own clip is left out."


def evaluate(
    embeddings: dict[str, list[Embeddings]], labels: list, groups: list, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Measure retrieval with the embeddings of several methods, each trained with several seeds.

    embeddings: method -> for each seed of training, the embeddings of the n test clips. labels: of each clip,
    a list. groups: of the clips, (n,); the intervals are over groups. bootstrap: resamples. seed: of these.
    Returns method -> direction -> {"ndcg_30", "ci", "n", "seeds": nDCG@30 of each seed}, and under "chance"
    direction -> {"ndcg_30", "n"}.
    """
    results: dict[str, Any] = {}
    for method, seed_embeddings in embeddings.items():
        over_seeds = retrieval.evaluate(seed_embeddings, labels, groups, bootstrap, seed)
        seed_metrics = [retrieval.evaluate(one_seed, labels, groups, 0, seed) for one_seed in seed_embeddings]
        results[method] = {
            direction: {
                "ndcg_30": metrics["ndcg_30"],
                "ci": {"ndcg_30": metrics["ci"]["ndcg_30"]},
                "n": metrics["n_relevant"],
                "seeds": [one_seed[direction]["ndcg_30"] for one_seed in seed_metrics],
            }
            for direction, metrics in over_seeds.items()
        }
        chance = {  # the same for all methods
            direction: {"ndcg_30": metrics["chance"]["ndcg_30"], "n": metrics["n_relevant"]}
            for direction, metrics in over_seeds.items()
        }
    return {"chance": chance} | results


def markdown(results: dict[str, Any]) -> list[str]:
    """Return the lines of a Markdown table, a row for each method. results: what `evaluate` returns."""
    chance = [f"{results['chance'][direction]['ndcg_30']:.3f}" for direction in DIRECTIONS]
    lines = [
        "| | " + " | ".join(DIRECTIONS.values()) + " |",
        "| --- |" + " --- |" * len(DIRECTIONS),
        "| chance | " + " | ".join(chance) + " |",
    ]
    for method, metrics in results.items():
        if method != "chance":
            cells = " | ".join(cell(metrics[direction], "ndcg_30") for direction in DIRECTIONS)
            lines.append(f"| {method} | {cells} |")
    return lines
