"""Train five networks to identify people by face, voice and both; verify people with the same networks."""

from typing import Any

import numpy as np

from experiments import study_data
from experiments.identification import table
from experiments.study import FOLDER, Stopwatch, Study, read_study, write_results
from models.evaluation import classifier, trial
from pipeline.cli import run
from pipeline.config import Params
from pipeline.dataset.dataset import Dataset
from pipeline.metrics import over_seeds

SYSTEM = "identification"
MODELS = FOLDER / SYSTEM / "models"
DATA = FOLDER / SYSTEM / "data"


def identification() -> None:
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, Study)
    data = study_data.load(DATA, params)
    results = {row: evaluate(row, params, data, study.seeds) for row in table.ROWS}
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": {
            "clips": params.data.people.clips,
            "people": params.data.people.people,
            "face_size": params.faces.size,
            "window_seconds": params.audio.window_seconds,
            "epochs": params.train.epochs,
            "seeds": len(study.seeds),
        },
        "results": results,
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    accuracies = (f"{row} {cells['test']['accuracy']:.3f}" for row, cells in results.items())
    print(f"identification: {', '.join(accuracies)}")


def evaluate(row: str, params: Params, data: Dataset, study_seeds: list[int]) -> dict[str, Any]:
    """Train a network of the table with several seeds.

    Returns the accuracy over seeds for each split, and `verification` for each side.
    """
    clips: dict[str, np.ndarray] = {}
    correct: dict[str, list] = {}
    verification: dict[str, list] = {}
    for seed in study_seeds:
        print(f"identification: {row}, seed {seed}", flush=True)
        out = MODELS / f"{row.replace(' ', '_')}-{seed}"
        model, evaluation = trial.run(params, data, out, **table.ROWS[row], seed=seed)
        for split in table.SPLITS:
            is_correct, clips[split] = classifier.correct_predictions(model, data, split)
            correct.setdefault(split, []).append(is_correct)
        for side, metrics in evaluation.metrics["verification"].items():
            verification.setdefault(side, []).append(metrics)
    bootstrap = params.evaluate.bootstrap, params.seed
    results: dict[str, Any] = {
        split: over_seeds.accuracy(np.stack(x), data.group[clips[split]].tolist(), *bootstrap)
        for split, x in correct.items()
    }
    results["verification"] = {
        side: {key: over_seeds.mean(metrics, key) for key in ("eer", "min_dcf")}
        for side, metrics in verification.items()
    }
    return results


if __name__ == "__main__":
    run(identification)
