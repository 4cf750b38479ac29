"""The tables of CAV-MAE: what its two losses are worth, for classification and for retrieval."""

from typing import Any

import numpy as np

from experiments import retrieval_rows
from pipeline.metrics import over_seeds
from pipeline.metrics.over_seeds import cell

SIDES = ("audio", "video")
SCRATCH = "from scratch"
# Method -> how it pretrains without labels: values of the section `pretraining`. None: it does not.
# In the tables, each method is a row.
METHODS: dict[str, dict[str, Any] | None] = {
    SCRATCH: None,
    "reconstruction only": {"contrastive": 0.0},
    "contrastive only": {"reconstruction": 0.0, "contrastive": 1.0},
    "both": {},
    "both, masked and weighed as published": {"mask_ratio": 0.75, "contrastive": 0.01, "both_ways": False},
}
# Evaluation of a fine-tuned model -> keyword arguments of models.evaluation.classifier.correct_predictions
TESTS: dict[str, dict[str, Any]] = {
    "fine_tuned": {},
    "without_video": {"blank": "video"},
    "without_audio": {"blank": "audio"},
}
EVALUATION_TITLES = {  # evaluation -> title of its column
    "fine_tuned": "fine-tuned",
    "gain": "more than from scratch",
    "linear": "linear probe",
    "without_video": "fine-tuned, sound alone at test",
    "without_audio": "fine-tuned, picture alone at test",
}


def summarize_classification(
    correct: dict[str, dict[str, list[np.ndarray]]], groups: list, bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return method -> evaluation -> {"accuracy", "ci", "n", "seeds"}, means over the seeds of training.

    correct: method -> evaluation -> for each seed of training, whether each test clip was classified
    correctly, (n,) bool. groups: of the test clips, (n,); the intervals are over groups. bootstrap: number of
    resamples.
    The evaluation `gain` is the accuracy of `fine_tuned` minus that from scratch. Its interval is paired:
    both are evaluated on the same clips.
    """
    summaries: dict[str, dict[str, Any]] = {}
    for method, evaluations in correct.items():
        values = {name: np.stack(seeds).astype(float) for name, seeds in evaluations.items()}
        if method != SCRATCH:
            values["gain"] = values["fine_tuned"] - np.stack(correct[SCRATCH]["fine_tuned"])
        summaries[method] = {
            name: over_seeds.accuracy(clip_values, groups, bootstrap, seed)
            for name, clip_values in values.items()
        }
    return summaries


def summarize_reconstruction(errors: dict[str, list[dict]]) -> dict[str, dict[str, list[float]]]:
    """Return method -> "audio", "video" -> the mean squared error of each seed.

    The first method is a baseline: to predict the mean of what is visible.
    errors: method -> for each seed, the metrics that models.evaluation.inpainting.measure_errors returns.
    """
    summaries = {
        method: {side: [metrics[f"{side}_mse"] for metrics in seeds] for side in SIDES}
        for method, seeds in errors.items()
    }
    baseline = next(iter(errors.values()))[0]["chance"]
    return {"the mean of what is seen": {side: [baseline[f"{side}_mse"]] for side in SIDES}} | summaries


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
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
        "| pretraining | " + " | ".join(EVALUATION_TITLES.values()) + " |",
        "| --- |" + " --- |" * len(EVALUATION_TITLES),
    ]
    for method, evaluations in results["classification"].items():
        cells = [cell(evaluations.get(name)) for name in EVALUATION_TITLES]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
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
    for method, side_errors in results["reconstruction"].items():
        values = [", ".join(f"{error:.3f}" for error in side_errors[side]) for side in SIDES]
        lines.append(f"| {method} | " + " | ".join(values) + " |")
    lines += [
        "",
        "![Six test clips: sound and picture whole, masked, and reconstructed](inpainting.jpg)",
        "",
        "Six test clips, by a model that was trained without normalizing patches (seed"
        f" {about['seeds'][0]}): whole, what the model sees, and what it reconstructs.",
    ]
    return "\n".join(lines) + "\n"
