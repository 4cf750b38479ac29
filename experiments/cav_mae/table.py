"""The tables of CAV-MAE: what its two losses are worth, for classification and for retrieval."""

from typing import Any

import numpy as np

from experiments import retrieval_rows
from pipeline.metrics import over_seeds
from pipeline.metrics.over_seeds import cell

SIDES = ("audio", "video")
SCRATCH = "from scratch"
# How a row pretrains, before any label: values of the section `pretraining`; None: not at all.
ROWS: dict[str, dict[str, Any] | None] = {
    SCRATCH: None,
    "reconstruction only": {"contrastive": 0.0},
    "contrastive only": {"reconstruction": 0.0, "contrastive": 1.0},
    "both": {},
    "both, masked and weighed as published": {"mask_ratio": 0.75, "contrastive": 0.01, "both_ways": False},
}
TESTS: dict[
    str, dict[str, Any]
] = {  # of a fine-tuned model: column -> arguments of models.evaluation.classifier
    "fine_tuned": {},
    "without_video": {"blank": "video"},
    "without_audio": {"blank": "audio"},
}
COLUMNS = {
    "fine_tuned": "fine-tuned",
    "gain": "more than from scratch",
    "linear": "linear probe",
    "without_video": "fine-tuned, sound alone at test",
    "without_audio": "fine-tuned, picture alone at test",
}


def classification(correct: dict[str, dict[str, list]], bootstrap: int, seed: int) -> dict[str, Any]:
    """Return row -> column -> accuracy over seeds, as of pipeline.metrics.over_seeds.accuracy.

    correct: row -> column -> of each seed, whether each test clip was classified correctly; and `groups`, of
    these clips. The column `gain` is the difference from the first row, with an interval over the same clips.
    """
    rows: dict[str, Any] = {}
    for row, columns in correct.items():
        arrays = {name: np.stack(x).astype(float) for name, x in columns.items() if name != "groups"}
        if row != SCRATCH:
            arrays["gain"] = arrays["fine_tuned"] - np.stack(correct[SCRATCH]["fine_tuned"])
        groups = columns["groups"][0].tolist()
        rows[row] = {name: over_seeds.accuracy(x, groups, bootstrap, seed) for name, x in arrays.items()}
    return rows


def reconstruction(errors: dict[str, list[dict]]) -> dict[str, Any]:
    """Return row -> side -> the mean squared error of each seed.

    errors: row -> of each seed, as of models.evaluation.inpainting.evaluate.
    """
    rows = {
        row: {side: [metrics[f"{side}_mse"] for metrics in each_seed] for side in SIDES}
        for row, each_seed in errors.items()
    }
    chance = next(iter(errors.values()))[0]["chance"]
    return {"the mean of what is seen": {side: [chance[f"{side}_mse"]] for side in SIDES}} | rows


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: as in metrics.json."""
    about, results = metrics["about"], metrics["results"]
    patches = "normalized by themselves" if about["normalize_patches"] else "in standard deviations"
    n = results["classification"][SCRATCH]["fine_tuned"]["n"]
    lines = [
        f"{about['clips']:,} synthetic clips of instruments. CAV-MAE of size `{about['size']}` learns from"
        f" {about['train_clips']} of them without labels, for {about['pretraining_epochs']} epochs, and then"
        f" for {about['epochs']} epochs from the labels of about {about['labelled_clips']}"
        f" ({about['labels']:.0%}, drawn anew with each seed). Cells hold the mean over"
        f" {len(about['seeds'])} seeds, its 95% interval (bootstrap over videos) and the value of each seed;"
        f" {n} test clips.",
        "",
        "### Classification of instruments",
        "",
        "Test accuracy. *More than from scratch* is the difference on the same clips, and its interval.",
        "",
        "| pretraining | " + " | ".join(COLUMNS.values()) + " |",
        "| --- |" + " --- |" * len(COLUMNS),
    ]
    for row, cells in results["classification"].items():
        lines.append(f"| {row} | " + " | ".join(cell(cells.get(column)) for column in COLUMNS) + " |")
    lines += [
        "",
        "### Retrieval before any label",
        "",
        f"nDCG@30 of the mean tokens of each modality alone. {retrieval_rows.ABOUT}",
        "",
        *retrieval_rows.markdown(results["retrieval"]),
        "",
        "### Reconstruction of masked patches",
        "",
        f"Mean squared error on the masked patches of test clips, for each seed (patches {patches}).",
        "",
        "| | sound | picture |",
        "| --- | --- | --- |",
    ]
    for row, sides in results["reconstruction"].items():
        values = [", ".join(f"{x:.3f}" for x in sides[side]) for side in SIDES]
        lines.append(f"| {row} | " + " | ".join(values) + " |")
    lines += [
        "",
        "![Six test clips: sound and picture whole, masked, and reconstructed](inpainting.jpg)",
        "",
        "Six test clips, by a model that was trained without normalizing patches (seed"
        f" {about['seeds'][0]}): whole, what the model sees, and what it reconstructs.",
    ]
    return "\n".join(lines) + "\n"
