"""The tables of identification by face and voice: accuracy, and verification with the same networks."""

from typing import Any

from pipeline.metrics.over_seeds import cell

# Network, which is a row of the tables -> its settings
NETWORKS = {
    "image CNN": {"modality": "video", "video_encoder": "shallow"},
    "audio CNN": {"modality": "audio", "audio_encoder": "shallow"},
    "audio CRNN": {"modality": "audio", "audio_encoder": "crnn"},
    "CNN ∥ CNN": {"modality": "both", "video_encoder": "shallow", "audio_encoder": "shallow"},
    "CNN ∥ CRNN": {"modality": "both", "video_encoder": "shallow", "audio_encoder": "crnn"},
}
SPLITS = ("train", "val", "test")
VERIFIED_BY = ("audio", "video", "both")  # in the order of the columns


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
    about, results = metrics["about"], metrics["results"]
    n_clips = {split: next(iter(results.values()))[split]["n"] for split in SPLITS}
    lines = [
        f"{about['clips']} clips of {about['people']} synthetic people, split by recording. Faces are"
        f" {about['face_size']} × {about['face_size']} bytes, sounds log-frequency spectrograms of"
        f" {about['window_seconds']:g} s stored as bytes; both are scaled in the model. {about['epochs']}"
        f" epochs. Cells hold the mean over {about['seeds']} seeds, its 95% interval (bootstrap over"
        f" recordings) and the value of each seed. Chance is about {1 / about['people']:.3f}.",
        "",
        "### Accuracy",
        "",
        f"| | train ({n_clips['train']}) | validation ({n_clips['val']}) | test ({n_clips['test']}) |",
        "| --- | --- | --- | --- |",
        *(
            f"| {network} | {' | '.join(cell(result[split]) for split in SPLITS)} |"
            for network, result in results.items()
        ),
        "",
        _describe_best(results),
        "",
        "### Verification",
        "",
        "All pairs of test recordings, scored by the cosine of the embeddings; of both modalities, by the"
        " mean of both cosines. EER, and minDCF with P = 0.05; intervals (the mean over seeds) are over"
        " people. All these people are in training too: to verify others, set `split.by: subject`.",
        "",
        "| | EER by voice | by face | by both | minDCF by voice | by face | by both |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for network, result in results.items():
        cells = []
        for metric in ("eer", "min_dcf"):
            for modality in VERIFIED_BY:  # a network of one modality has no result for the others
                cells.append(cell(result["verification"].get(modality, {}).get(metric), metric))
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _describe_best(results: dict[str, Any]) -> str:
    """Say which network is best on the test recordings, and which intervals of others have its accuracy."""
    test = {network: result["test"] for network, result in results.items()}
    best = max(test, key=lambda network: test[network]["accuracy"])
    accuracy = test[best]["accuracy"]
    near = [
        network
        for network, result in test.items()
        if network != best and result["ci"]["accuracy"][1] >= accuracy
    ]
    noise = f"it lies within the interval of {', '.join(near)}" if near else "it lies in no other's interval"
    return f"Best on the test recordings: {best}, {accuracy:.3f}; {noise}."
