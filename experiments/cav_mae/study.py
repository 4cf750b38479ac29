"""Pretrain CAV-MAE with either loss and both, and measure what that gives where labels are few."""

from pathlib import Path
from typing import Any

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
    labels: float = Field(gt=0, le=1)  # share of the training clips whose labels are used after pretraining
    probe: TrainingSettings  # differ for linear probing


def cav_mae() -> None:
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, CavMaeStudy)
    data = study_data.load(DATA, params)
    pretrained: dict[str, list[Model]] = {}
    correct: dict[str, dict[str, list]] = {row: {} for row in table.ROWS}
    for seed in study.seeds:
        for row, losses in table.ROWS.items():
            name, start = f"{row.replace(', ', '_').replace(' ', '_')}-{seed}", "scratch"
            if losses is not None:
                print(f"cav_mae: {row}, seed {seed}: pretraining", flush=True)
                start = str(MODELS / f"pretrained-{name}")
                model = pretrain_cached(params, data, start, seed=seed, pretraining=losses)
                pretrained.setdefault(row, []).append(model)
            print(f"cav_mae: {row}, seed {seed}: classification", flush=True)
            settings = {"start": start, "labels": study.labels}
            columns = classify(params, data, MODELS / f"tuned-{name}", table.TESTS, seed, settings)
            if losses is not None:
                probe = apply_settings(params, study.probe, f"{FOLDER / SYSTEM}/study.yaml: probe")
                out, frozen = MODELS / f"linear-{name}", settings | {"frozen": True}
                columns |= classify(probe, data, out, {"linear": {}}, seed, frozen)
            for column, values in columns.items():
                correct[row].setdefault(column, []).append(values)
    save_pictures(params, data, study.seeds[0])
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": about(params, study, len(data.indices("train"))),
        "results": evaluate(params, data, correct, pretrained),
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    rows = metrics["results"]["classification"].items()
    accuracies = (f"{row} {cells['fine_tuned']['accuracy']:.3f}" for row, cells in rows)
    print(f"cav_mae: {', '.join(accuracies)}")


def classify(
    params: Params, data: Dataset, out: Path, tests: dict, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Train a classifier and test it in several ways.

    Returns test -> whether each test clip is classified correctly; and `groups`, of these clips.
    """
    model = train_cached(params, data, out, seed=seed, classification=settings)
    answers = {
        name: classifier.correct_predictions(model, data, **arguments) for name, arguments in tests.items()
    }
    clips = next(iter(answers.values()))[1]
    return {name: correct for name, (correct, _) in answers.items()} | {"groups": data.group[clips]}


def evaluate(
    params: Params, data: Dataset, correct: dict[str, dict[str, list]], pretrained: dict[str, list[Model]]
) -> dict[str, Any]:
    """Return the results of all tables. correct: as of table.classification."""
    test, bootstrap = data.indices("test"), (params.evaluate.bootstrap, params.seed)
    embeddings = {
        row: [dict(zip(table.SIDES, model.embed(data, test), strict=True)) for model in models]
        for row, models in pretrained.items()
    }
    errors = {
        row: [inpainting.measure_errors(model, data, test, *bootstrap) for model in models]
        for row, models in pretrained.items()
        if models[0].module.has_reconstruction
    }
    clip_labels = data.labels
    labels, groups = [clip_labels[i] for i in test], data.group[test].tolist()
    return {
        "classification": table.classification(correct, *bootstrap),
        "retrieval": retrieval_rows.evaluate(embeddings, labels, groups, *bootstrap),
        "reconstruction": table.reconstruction(errors),
    }


def save_pictures(params: Params, data: Dataset, seed: int) -> None:
    """Save what a model reconstructs that was trained without normalizing patches.

    Normalized patches have no mean and deviation of their own: they cannot be shown.
    """
    plain = {"normalize_patches": False}
    model = pretrain_cached(params, data, MODELS / "shown", seed=seed, pretraining=plain)
    examples = inpainting.reconstruct_examples(model, data, data.indices("test"), params.seed)
    plots.save_inpainting(FOLDER / SYSTEM / "inpainting.jpg", examples)


def about(params: Params, study: CavMaeStudy, train_clips: int) -> dict[str, Any]:
    """Return the facts that the README states."""
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
