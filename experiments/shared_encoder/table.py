"""The tables of one encoder for two modalities: what it learns from each, and what it transfers."""

from typing import Any

from pipeline.metrics.over_seeds import cell

SPLITS = {"video": "at random", "subject": "by actor"}  # split.by -> description
INPUTS = {"spectrograms": "audio", "faces": "video", "both stacked": "both"}  # inputs of training -> modality
NO_TUNING = "nothing (pretrained weights, new head)"  # row of a network that is not trained on any inputs
# Modality of training -> inputs of the test -> arguments of models.evaluation.classifier.correct_predictions
TESTS: dict[str, dict[str, dict[str, Any]]] = {
    "audio": {"spectrograms": {}, "faces": {"swapped": True}},
    "video": {"faces": {}, "spectrograms": {"swapped": True}},
    "both": {
        "both stacked": {},
        "faces alone": {"blank": "audio"},
        "spectrograms alone": {"blank": "video"},
    },
}
# Columns: inputs of the test
TEST_INPUTS = ("spectrograms", "faces", "both stacked", "spectrograms alone", "faces alone")
CHANCE = 1 / 6  # accuracy of guessing: there are six emotions


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
    about, results = metrics["about"], metrics["results"]
    start = "starts from pretrained weights" if about["pretrained"] else "starts from random weights"
    lines = [
        f"{about['clips']} clips of {about['people']} synthetic people, six emotions. One network"
        " (`classification.fusion: stack`) reads spectrograms as pictures, faces, or both on top of each"
        f" other, {about['height']} × {about['width']}; it {start}; {about['epochs']} epochs. Cells hold the"
        f" mean over {about['seeds']} seeds, its 95% interval (bootstrap over clips, or over actors where"
        " those are split) and the value of each seed. Chance is about .167. *Spectrograms alone* and *faces"
        " alone*: the network of both, with a black picture or silence for the other.",
    ]
    for network, split_results in results.items():
        for split_by, network_results in split_results.items():
            # All tests of a split have the same clips.
            n_clips = network_results["spectrograms"]["spectrograms"]["n"]
            lines += ["", f"### `{network}`, split {SPLITS[split_by]} ({n_clips} test clips)", ""]
            lines += [
                "| tuned on ↓ tested on → | " + " | ".join(TEST_INPUTS) + " |",
                "| --- |" + " --- |" * len(TEST_INPUTS),
            ]
            for inputs, tests in network_results.items():
                cells = [cell(tests.get(test_inputs)) for test_inputs in TEST_INPUTS]
                lines.append(f"| {inputs} | " + " | ".join(cells) + " |")
    lines += ["", "### In words", ""]
    lines += [
        f"- `{network}`, split {SPLITS[split_by]}: {_describe(network_results)}"
        for network, split_results in results.items()
        for split_by, network_results in split_results.items()
    ]
    return "\n".join(lines) + "\n"


def _describe(results: dict[str, Any]) -> str:
    """Say in words what the results of one network and one split show.

    results: inputs of training -> inputs of the test -> accuracy over seeds.
    """
    by_sound, by_face, by_both = (results[inputs] for inputs in INPUTS)
    better = max(by_sound["spectrograms"]["accuracy"], by_face["faces"]["accuracy"])
    low, high = by_both["both stacked"]["ci"]["accuracy"]
    comparison = "less than" if high < better else "more than" if low > better else "within noise of"
    return (
        f"spectrograms {_format_accuracy(by_sound['spectrograms'])},"
        f" faces {_format_accuracy(by_face['faces'])},"
        f" both stacked {_format_accuracy(by_both['both stacked'])} ({comparison} the better of the two)."
        f" Transfer: tuned on spectrograms, faces {_compare_with_chance(by_sound['faces'])};"
        f" tuned on faces, spectrograms {_compare_with_chance(by_face['spectrograms'])}."
        f" Tuned on both, one alone at test: spectrograms {_format_accuracy(by_both['spectrograms alone'])},"
        f" faces {_format_accuracy(by_both['faces alone'])}."
    )


def _format_accuracy(result: dict[str, Any]) -> str:
    return f"{result['accuracy']:.3f}"


def _compare_with_chance(result: dict[str, Any]) -> str:
    """Say what the accuracy is, and whether its 95% interval lies above or below that of guessing."""
    low, high = result["ci"]["accuracy"]
    comparison = "above" if low > CHANCE else "below" if high < CHANCE else "no better than"
    return f"{_format_accuracy(result)}, {comparison} chance"
