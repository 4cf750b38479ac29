"""The tables of one encoder for two modalities: what it learns from each, and what it transfers."""

from typing import Any

from pipeline.metrics.over_seeds import cell

SPLITS = {"video": "at random", "subject": "by actor"}
NOTHING = "nothing (pretrained weights, new head)"
ROWS = {"spectrograms": "audio", "faces": "video", "both stacked": "both"}  # tuned on: modality
# modality of training -> column -> arguments of models.evaluation.classifier
TESTS: dict[str, dict[str, dict[str, Any]]] = {
    "audio": {"spectrograms": {}, "faces": {"swapped": True}},
    "video": {"faces": {}, "spectrograms": {"swapped": True}},
    "both": {
        "both stacked": {},
        "faces alone": {"blank": "audio"},
        "spectrograms alone": {"blank": "video"},
    },
}
COLUMNS = ("spectrograms", "faces", "both stacked", "spectrograms alone", "faces alone")
CHANCE = 1 / 6


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: as in metrics.json."""
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
    for network, splits in results.items():
        for by, rows in splits.items():
            n = next(iter(next(iter(rows.values())).values()))["n"]
            lines += ["", f"### `{network}`, split {SPLITS[by]} ({n} test clips)", ""]
            lines += [
                "| tuned on ↓ tested on → | " + " | ".join(COLUMNS) + " |",
                "| --- |" + " --- |" * len(COLUMNS),
            ]
            for row, cells in rows.items():
                lines.append(f"| {row} | " + " | ".join(cell(cells.get(column)) for column in COLUMNS) + " |")
    lines += ["", "### In words", ""]
    lines += [
        f"- `{network}`, split {SPLITS[by]}: {_in_words(rows)}"
        for network, splits in results.items()
        for by, rows in splits.items()
    ]
    return "\n".join(lines) + "\n"


def _in_words(rows: dict[str, Any]) -> str:
    """Say what the rows of one network and split show."""
    sound, face, both = (rows[name] for name in ROWS)
    best = max(sound["spectrograms"]["accuracy"], face["faces"]["accuracy"])
    low, high = both["both stacked"]["ci"]["accuracy"]
    how = "less than" if high < best else "more than" if low > best else "within noise of"
    return (
        f"spectrograms {_accuracy(sound['spectrograms'])}, faces {_accuracy(face['faces'])}, both stacked"
        f" {_accuracy(both['both stacked'])} ({how} the better of the two). Transfer: tuned on spectrograms,"
        f" faces {_beside_chance(sound['faces'])}; tuned on faces, spectrograms"
        f" {_beside_chance(face['spectrograms'])}. Tuned on both, one alone at test: spectrograms"
        f" {_accuracy(both['spectrograms alone'])}, faces {_accuracy(both['faces alone'])}."
    )


def _accuracy(result: dict[str, Any]) -> str:
    return f"{result['accuracy']:.3f}"


def _beside_chance(result: dict[str, Any]) -> str:
    low, high = result["ci"]["accuracy"]
    how = "above" if low > CHANCE else "below" if high < CHANCE else "no better than"
    return f"{_accuracy(result)}, {how} chance"
