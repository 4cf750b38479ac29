"""The stage evaluate: measure the model on the test split, which training and model selection do not use."""

from functools import partial

from models.evaluation import evaluation
from models.evaluation.result import ProtocolSettings, Settings
from models.inference import distributed
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.dataset.tables import has_no_source
from pipeline.metrics import localization, predictions
from pipeline.report import plots
from pipeline.store import clip_table
from pipeline.store.metric_files import write_csv, write_json

# Attribute of an Evaluation -> columns of the table metrics/<attribute>.csv, for DVC's plots and the report.
TABLES = {
    "roc": ("fpr", "tpr"),
    "per_class": ("class", "n", "precision", "recall", "f1", "f1_low", "f1_high", "ap"),
    "confusion": ("clip_id", "actual", "predicted", "probability"),
    "calibration": ("confidence", "accuracy", "n"),
}


def evaluate() -> None:
    """Evaluate the trained model on the test split, and write metrics and tables to the folder metrics/."""
    params = load("evaluate")
    sections = params.audio, params.video, params.input
    load_clips = partial(dataset.load, "data", *sections, with_features=True, modality=params.modality)
    data = load_clips()
    no_source = load_clips(no_source=True) if has_no_source("data") else None
    clips = clip_table.read("data/clips.parquet").to_pylist()
    _, height, width, _ = data.video_shape
    boxes = (
        localization.frame_boxes(clips, height, width, params.video.fit)
        if data.has_side("video").any()
        else None
    )
    settings = Settings.from_params(params, boxes, no_source, ProtocolSettings.from_params(params, clips))
    with distributed.open_model("checkpoints", params.engine) as model:
        result = evaluation.evaluate(model, data, settings)
    write_json(result.metrics, "metrics/evaluate.json")
    write_json(result.galleries, "metrics/galleries.json")
    write_json(result.maps, "metrics/maps.json")
    write_json(result.description, "metrics/description.json")
    plots.save_inpainting("metrics/inpainting.jpg", result.inpainting_examples, result.has_normalized_patches)
    predictions.write(result.predictions, f"metrics/{predictions.FILE}")
    for name, columns in TABLES.items():
        table_rows = [[row[column] for column in columns] for row in getattr(result, name)]
        write_csv([columns, *table_rows], f"metrics/{name}.csv")
    print(f"evaluate: {summarize_metrics(result.metrics)}")


def summarize_metrics(metrics: dict) -> str:
    """Return the main metrics in one line.

    metrics: the content of metrics/evaluate.json. The first section holds the main metrics: those with a
    confidence interval under `ci`.
    """
    name, section = next(iter(metrics.items()))
    if name == "verification":  # has a section for each modality
        section = section["both"] if "both" in section else next(iter(section.values()))
    values = ", ".join(f"{key} {section[key]:.3f}" for key in section["ci"] if section[key] is not None)
    return f"{section['n']} test clips or pairs: {name} {values}"


if __name__ == "__main__":
    run(evaluate)
