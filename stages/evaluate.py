"""Evaluate the model on the test split, which neither training nor model selection uses."""

from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.inference import distributed
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.metrics import localization
from pipeline.report import plots
from pipeline.store import clip_table
from pipeline.store.metric_files import write_csv, write_json

TABLES = {  # of Evaluation: metrics/<name>.csv, for DVC's plots and the report
    "roc": ("fpr", "tpr"),
    "per_class": ("class", "n", "precision", "recall", "f1", "f1_low", "f1_high", "ap"),
    "confusion": ("clip_id", "actual", "predicted", "probability"),
    "calibration": ("confidence", "accuracy", "n"),
}


def evaluate() -> None:
    params = load("evaluate")
    data = dataset.load("data", params.audio, params.video, params.input)
    boxes = localization.frame_boxes(
        clip_table.read("data/clips.parquet").to_pylist(), *data.video_shape[1:3]
    )
    with distributed.open_model("checkpoints", params.engine) as model:
        result = evaluation.evaluate(model, data, Settings.from_params(params, boxes))
    write_json(result.metrics, "metrics/evaluate.json")
    write_json(result.galleries, "metrics/galleries.json")
    write_json(result.maps, "metrics/maps.json")
    write_json(result.description, "metrics/description.json")
    plots.save_inpainting("metrics/inpainting.jpg", result.inpainting_examples, result.has_normalized_patches)
    for name, keys in TABLES.items():
        rows = getattr(result, name)
        write_csv([keys, *([row[key] for key in keys] for row in rows)], f"metrics/{name}.csv")
    print(f"evaluate: {headline(result.metrics)}")


def headline(metrics: dict) -> str:
    """Return the values of the first section in one line."""
    name, section = next(iter(metrics.items()))
    if name == "verification":  # by modality
        section = section["both"] if "both" in section else next(iter(section.values()))
    values = ", ".join(f"{key} {section[key]:.3f}" for key in section["ci"] if section[key] is not None)
    return f"{section['n']} test clips or pairs: {name} {values}"


if __name__ == "__main__":
    run(evaluate)
