"""What the model is worth on the test split, which training and its choices never saw."""

from models.evaluation import evaluation
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
    boxes = localization.boxes(clip_table.read("data/clips.parquet").to_pylist(), *data.video_shape[1:3])
    resamples, looks = params.evaluate.bootstrap, params.evaluate.frames
    with distributed.open_model("checkpoints", params.engine) as model:
        found = evaluation.evaluate(
            model, data, params.pairing, params.label, resamples, params.seed, boxes, looks
        )
    write_json(found.metrics, "metrics/evaluate.json")
    write_json(found.galleries, "metrics/galleries.json")
    write_json(found.maps, "metrics/maps.json")
    write_json(found.description, "metrics/description.json")
    plots.save_inpainting("metrics/inpainting.jpg", found.inpainted, found.normalized)
    for name, keys in TABLES.items():
        rows = getattr(found, name)
        write_csv([keys, *([row[key] for key in keys] for row in rows)], f"metrics/{name}.csv")
    print(f"evaluate: {headline(found.metrics)}")


def headline(metrics: dict) -> str:
    """The first section, in one line."""
    name, section = next(iter(metrics.items()))
    if name == "verification":  # by modality
        section = section["both"] if "both" in section else next(iter(section.values()))
    values = ", ".join(f"{key} {section[key]:.3f}" for key in section["ci"] if section[key] is not None)
    return f"{section['n']} test clips or pairs: {name} {values}"


if __name__ == "__main__":
    run(evaluate)
