"""docs/pretraining.md: what CAV-MAE's two losses are worth, for classification and for retrieval."""

from typing import Any

import numpy as np

from pipeline import retrieval_table
from pipeline.metrics import over_seeds
from pipeline.metrics.over_seeds import cell

SIDES = ("audio", "video")
SCRATCH = "from scratch"
# What is learnt before any label: keys of the section `pretraining`; None: nothing.
ROWS: dict[str, dict[str, Any] | None] = {
    SCRATCH: None,
    "reconstruction only": {"contrastive": 0.0},
    "contrastive only": {"reconstruction": 0.0, "contrastive": 1.0},
    "both": {},
    "both, masked and weighed as published": {"mask_ratio": 0.75, "contrastive": 0.01, "both_ways": False},
}
ASKED: dict[str, dict[str, Any]] = {  # how a fine-tuned model is asked
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
PUBLISHED = (
    "The paper's own figures are of other data, and of a network a hundred times as large: AudioSet-20K 42.0"
    " mAP fine-tuned, of sound alone 37.7; AudioSet-2M 51.2; VGGSound 65.9% accuracy. What can be compared is"
    " the order of the lines."
)


def classified(right: dict[str, dict[str, list]], bootstrap: int, seed: int) -> dict[str, Any]:
    """right: row -> column -> of each seed, whether each test clip was told; and `groups`, of these clips.

    Returns row -> column -> as of `over_seeds.accuracy`; `gain` is the difference from the first row, with
    an interval over the same clips.
    """
    found: dict[str, Any] = {}
    for row, columns in right.items():
        told = {
            name: np.stack(several).astype(float) for name, several in columns.items() if name != "groups"
        }
        if row != SCRATCH:
            told["gain"] = told["fine_tuned"] - np.stack(right[SCRATCH]["fine_tuned"])
        groups = columns["groups"][0].tolist()
        found[row] = {name: over_seeds.accuracy(x, groups, bootstrap, seed) for name, x in told.items()}
    return found


def filled(errors: dict[str, list[dict]]) -> dict[str, Any]:
    """errors: row -> of each seed, as of the evaluation of inpainting. Returns row -> side -> each seed's."""
    found = {
        row: {side: [told[f"{side}_mse"] for told in several] for side in SIDES}
        for row, several in errors.items()
    }
    first = next(iter(errors.values()))[0]["chance"]
    return {"the mean of what is seen": {side: [first[f"{side}_mse"]] for side in SIDES}} | found


def markdown(found: dict[str, Any], params: Any, train_clips: int) -> str:
    """found: "classification", "reconstruction": of the functions of these names; "retrieval": as of
    pipeline.retrieval_table.table."""
    train, pretraining = params.train, params.pretraining.train
    test = found["classification"][SCRATCH]["fine_tuned"]["n"]
    labelled = round(params.cav_mae.labels * train_clips)
    unit = "patches normalised by themselves" if params.pretraining.normalize_patches else "in deviations"
    lines = [
        "# Pretraining without labels",
        "",
        f"Written by `make cav-mae`: {params.data.ensemble.clips:,} clips of the embedded ensemble. CAV-MAE"
        f" of size `{params.encoders.joint['cav_mae'].get('size', 'tiny')}` learns from {train_clips} of"
        f" them without labels, for {pretraining.epochs} epochs, and then for {train.epochs} epochs from the"
        f" labels of about {labelled} ({params.cav_mae.labels:.0%}, drawn anew with each seed). The mean over"
        f" {len(params.cav_mae.seeds)} seeds, with its 95% interval (bootstrap over videos) and each seed's"
        f" value; {test} test clips. Sizes stand in `params.yaml`, section `cav_mae`.",
        "",
        "## What instrument is it?",
        "",
        "Test accuracy. *More than from scratch* is the difference on the same clips, and its interval.",
        "",
        "| before | " + " | ".join(COLUMNS.values()) + " |",
        "| --- |" + " --- |" * len(COLUMNS),
    ]
    for row, cells in found["classification"].items():
        lines.append(f"| {row} | " + " | ".join(cell(cells.get(c)) for c in COLUMNS) + " |")
    lines += [
        "",
        "## What lies near what?",
        "",
        "nDCG@30 of the mean tokens of each modality alone, no label ever seen.",
        "",
        *retrieval_table.rows(found["retrieval"]),
    ]
    lines += [
        "",
        "## What is filled in",
        "",
        f"Mean squared error on the masked patches of test clips, by seed ({unit}).",
        "",
        "| | sound | picture |",
        "| --- | --- | --- |",
    ]
    for row, sides in found["reconstruction"].items():
        values = [", ".join(f"{x:.3f}" for x in sides[side]) for side in SIDES]
        lines.append(f"| {row} | " + " | ".join(values) + " |")
    lines += [
        "",
        "![Six test clips: sound and picture whole, masked, and filled in](pictures/inpainting.jpg)",
        "",
        "Six test clips, by a model that was trained without normalising patches (seed"
        f" {params.cav_mae.seeds[0]}): whole, what it sees, and what it makes of it.",
        "",
        PUBLISHED,
    ]
    return "\n".join(lines) + "\n"
