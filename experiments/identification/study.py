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
    """Run the study: train all networks, and write metrics.json and the tables."""
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, Study)
    data = study_data.load(DATA, params)
    results = {network: evaluate(network, params, data, study.seeds) for network in table.NETWORKS}
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
    accuracies = (f"{network} {result['test']['accuracy']:.3f}" for network, result in results.items())
    print(f"identification: {', '.join(accuracies)}")


def evaluate(network: str, params: Params, data: Dataset, study_seeds: list[int]) -> dict[str, Any]:
    """Train and test a network with several seeds. network: a key of table.NETWORKS.

    Returns split -> accuracy over seeds; and under "verification": "audio", "video" or "both", as far as the
    network has them -> "eer" and "min_dcf", means over seeds.
    """
    clips: dict[str, np.ndarray] = {}  # split -> its clips
    correct: dict[str, list] = {}  # split -> for each seed, whether each clip is classified correctly
    verification: dict[str, list] = {}  # "audio", "video" or "both" -> the metrics of each seed
    for seed in study_seeds:
        print(f"identification: {network}, seed {seed}", flush=True)
        out = MODELS / f"{network.replace(' ', '_')}-{seed}"
        model, evaluation = trial.run(params, data, out, **table.NETWORKS[network], seed=seed)
        for split in table.SPLITS:
            is_correct, clips[split] = classifier.correct_predictions(model, data, split)
            correct.setdefault(split, []).append(is_correct)
        for modality, metrics in evaluation.metrics["verification"].items():
            verification.setdefault(modality, []).append(metrics)
    bootstrap = params.evaluate.bootstrap, params.seed
    results: dict[str, Any] = {
        split: over_seeds.accuracy(np.stack(seeds), data.group[clips[split]].tolist(), *bootstrap)
        for split, seeds in correct.items()
    }
    results["verification"] = {
        modality: {key: over_seeds.mean(metrics, key) for key in ("eer", "min_dcf")}
        for modality, metrics in verification.items()
    }
    return results


if __name__ == "__main__":
    run(identification)
