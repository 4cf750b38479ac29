"""What the model is worth on the test split, which training and its choices never saw."""

from models import checkpoint, evaluation
from pipeline import clips, dataset, localization
from pipeline.params import load
from pipeline.summary import write_csv, write_json
from stages import run


def evaluate() -> None:
    params = load("evaluate")
    data = dataset.load("data", params.audio, params.video)
    model = checkpoint.load("checkpoints")
    boxes = localization.boxes(clips.read("data/clips.parquet").to_pylist(), *data.video_shape[1:3])
    found = evaluation.evaluate(
        model, data, params.pairing, params.label, params.evaluate.bootstrap, params.seed, boxes
    )
    write_json(found.metrics, "metrics/evaluate.json")
    write_json(found.galleries, "metrics/galleries.json")
    write_json(found.maps, "metrics/maps.json")
    write_csv([("fpr", "tpr"), *((p["fpr"], p["tpr"]) for p in found.roc)], "metrics/roc.csv")
    pairs = found.metrics["correspondence"]
    print(f"evaluate: {pairs['n']} test pairs, accuracy {pairs['accuracy']:.3f}, AUC {pairs['auc']:.3f}")


if __name__ == "__main__":
    run(evaluate)
