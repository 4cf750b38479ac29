"""Pretrain CAV-MAE with either loss and both, and measure what that gives where labels are few."""

from typing import Any

import numpy as np
from pydantic import Field

from experiments import retrieval_rows, study_data
from experiments.cav_mae import table
from experiments.study import FOLDER, Stopwatch, Study, TrainingSettings, read_study, write_results
from models.checkpoint import Model
from models.evaluation import classifier, inpainting
from models.training.cached import pretrain_cached, train_cached
from pipeline.cli import run
from pipeline.config import Params, apply_settings
from pipeline.dataset.dataset import Dataset
from pipeline.report import plots

SYSTEM = "cav_mae"
MODELS = FOLDER / SYSTEM / "models"
DATA = FOLDER / SYSTEM / "data"


class CavMaeStudy(Study):
    """The content of study.yaml."""

    labels: float = Field(gt=0, le=1)  # fraction of training clips whose labels are used after pretraining
    probe: TrainingSettings  # settings that are different when a linear probe is trained


class Trainings:
    """What the trainings of the study gave, for the tables."""

    def __init__(self) -> None:
        # Method -> the pretrained models, one for each seed.
        self.pretrained: dict[str, list[Model]] = {}
        # Method -> evaluation -> for each seed, whether each test clip is classified correctly, (n,) bool.
        self.correct: dict[str, dict[str, list[np.ndarray]]] = {method: {} for method in table.METHODS}
        self.test_clips = np.empty(0, int)  # these clips, (n,); the same for all methods and seeds


def cav_mae() -> None:
    """Run the study: train all models, and write metrics.json, the tables and the pictures."""
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, CavMaeStudy)
    data = study_data.load(DATA, params)
    trainings = Trainings()
    for seed in study.seeds:
        for method in table.METHODS:
            train_method(method, params, study, data, seed, trainings)
    save_reconstructions(params, data, study.seeds[0])
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": describe_study(params, study, len(data.indices("train"))),
        "results": evaluate(params, data, trainings),
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    summaries = metrics["results"]["classification"].items()
    accuracies = (f"{method} {summary['fine_tuned']['accuracy']:.3f}" for method, summary in summaries)
    print(f"cav_mae: {', '.join(accuracies)}")


def train_method(
    method: str, params: Params, study: CavMaeStudy, data: Dataset, seed: int, trainings: Trainings
) -> None:
    """Pretrain, fine-tune and probe with one method and one seed. Adds the results to `trainings`."""
    pretraining = table.METHODS[method]
    name = f"{method.replace(', ', '_').replace(' ', '_')}-{seed}"
    start: dict[str, Any] = {}  # the setting that says which model the classifier starts from
    if pretraining is not None:
        print(f"cav_mae: {method}, seed {seed}: pretraining", flush=True)
        folder = str(MODELS / f"pretrained-{name}")
        model = pretrain_cached(params, data, folder, seed=seed, pretraining=pretraining)
        trainings.pretrained.setdefault(method, []).append(model)
        start = {"train.start": folder}
    print(f"cav_mae: {method}, seed {seed}: classification", flush=True)
    params = apply_settings(params, start, f"{FOLDER / SYSTEM}/study.py")
    settings = {"start": "scratch", "labels": study.labels}
    model = train_cached(params, data, MODELS / f"tuned-{name}", seed=seed, classification=settings)
    evaluate_classifier(model, data, table.TESTS, method, trainings)
    if pretraining is not None:
        probe_params = apply_settings(params, study.probe, f"{FOLDER / SYSTEM}/study.yaml: probe")
        out, settings = MODELS / f"linear-{name}", settings | {"frozen": True}
        model = train_cached(probe_params, data, out, seed=seed, classification=settings)
        evaluate_classifier(model, data, {"linear": {}}, method, trainings)


def evaluate_classifier(
    model: Model, data: Dataset, tests: dict[str, dict[str, Any]], method: str, trainings: Trainings
) -> None:
    """Classify the test clips in several ways. Adds the results to `trainings`.

    tests: evaluation -> keyword arguments of classifier.correct_predictions.
    """
    for evaluation, arguments in tests.items():
        is_correct, trainings.test_clips = classifier.correct_predictions(model, data, **arguments)
        trainings.correct[method].setdefault(evaluation, []).append(is_correct)


def evaluate(params: Params, data: Dataset, trainings: Trainings) -> dict[str, Any]:
    """Return the results for all tables: classification, retrieval and reconstruction."""
    test, bootstrap = data.indices("test"), (params.evaluate.bootstrap, params.seed)
    embeddings = {
        method: [dict(zip(table.SIDES, model.embed(data, test), strict=True)) for model in models]
        for method, models in trainings.pretrained.items()
    }
    errors = {
        method: [inpainting.measure_errors(model, data, test, *bootstrap) for model in models]
        for method, models in trainings.pretrained.items()
        if models[0].module.has_reconstruction
    }
    clip_labels = data.labels
    labels, groups = [clip_labels[i] for i in test], data.group[test].tolist()
    classified_groups = data.group[trainings.test_clips].tolist()
    return {
        "classification": table.summarize_classification(trainings.correct, classified_groups, *bootstrap),
        "retrieval": retrieval_rows.evaluate(embeddings, labels, groups, *bootstrap),
        "reconstruction": table.summarize_reconstruction(errors),
    }


def save_reconstructions(params: Params, data: Dataset, seed: int) -> None:
    """Save pictures of what a model reconstructs, in inpainting.jpg.

    The model is trained without normalizing patches: normalized patches have no mean and deviation of their
    own, so they cannot be shown.
    """
    settings = {"normalize_patches": False}
    model = pretrain_cached(params, data, MODELS / "shown", seed=seed, pretraining=settings)
    pictures = inpainting.reconstruct_examples(model, data, data.indices("test"), params.seed)
    plots.save_inpainting(FOLDER / SYSTEM / "inpainting.jpg", pictures)


def describe_study(params: Params, study: CavMaeStudy, train_clips: int) -> dict[str, Any]:
    """Return what the README says about the data and the training: `about` of metrics.json."""
    return {
        "clips": params.data.ensemble.clips,
        "train_clips": train_clips,
        "labels": study.labels,
        "labelled_clips": round(study.labels * train_clips),
        "seeds": study.seeds,
        "epochs": params.train.epochs,
        "pretraining_epochs": params.pretraining.train.epochs,
        "size": params.encoders.joint["cav_mae"].get("size", "tiny"),
        "normalize_patches": params.pretraining.normalize_patches,
    }


if __name__ == "__main__":
    run(cav_mae)
