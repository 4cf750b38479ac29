"""docs/pretraining.md: what CAV-MAE's two losses are worth, for classification and for retrieval."""

from typing import Any

from pipeline import retrieval_table
from pipeline.seeds import cell

SCRATCH = "from scratch"
# What is learnt before any label: keys of the section `pretraining`; None: nothing.
ROWS: dict[str, dict[str, float] | None] = {
    SCRATCH: None,
    "reconstruction only": {"contrastive": 0.0},
    "contrastive only": {"reconstruction": 0.0, "contrastive": 1.0},
    "both": {},
}
COLUMNS = {
    "fine_tuned": "fine-tuned",
    "gain": "more than from scratch",
    "linear": "linear probe",
    "without_video": "fine-tuned, sound alone at test",
    "without_audio": "fine-tuned, picture alone at test",
}
PUBLISHED = """The paper's own figures are of other data, and of a network a hundred times as large: AudioSet-20K
42.0 mAP fine-tuned, of sound alone 37.7; AudioSet-2M 51.2; VGGSound 65.9% accuracy. What can be compared is the
order of the lines."""


def markdown(found: dict[str, Any], params: Any, about: dict[str, int]) -> str:
    """found: "classification": row -> column -> as of pipeline.seeds.accuracy; "retrieval": as of
    pipeline.retrieval_table.table; "reconstruction": row -> side -> one number a seed, and "chance". about:
    clips that train, that have labels, and that test."""
    train, pretraining = params.train, params.pretraining.train
    unit = "patches normalised by themselves" if params.pretraining.normalize_patches else "in deviations"
    lines = [
        "# Pretraining without labels",
        "",
        f"Written by `make cav-mae`: {params.data.ensemble.clips:,} clips of the embedded ensemble. CAV-MAE of"
        f" size `{params.encoders.joint['cav_mae'].get('size', 'tiny')}` learns from {about['train']} of them"
        f" without labels, for {pretraining.epochs} epochs, and then for {train.epochs} epochs from the labels"
        f" of {about['labelled']} ({params.cav_mae.labels:.0%}, drawn anew with each seed). The mean over"
        f" {len(params.cav_mae.seeds)} seeds, with its 95% interval (bootstrap over videos) and each seed's"
        f" value; {about['test']} test clips. Sizes stand in `params.yaml`, section `cav_mae`.",
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
        values = [", ".join(f"{x:.3f}" for x in sides[side]) for side in ("audio", "video")]
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
