"""Train on few and on all clips, from scratch and with frozen networks, and compare what comes out."""

import dataclasses
import json
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from experiments import study_data
from experiments.small_data import figure, table
from experiments.study import FOLDER, Stopwatch, Study, TrainingSettings, read_study, write_results
from models.checkpoint import Model
from models.evaluation.evaluation import evaluate
from models.evaluation.result import Settings
from models.training.cached import train_cached
from pipeline.cli import run
from pipeline.config import Params, apply_settings
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import over_seeds
from pipeline.store.formats import digest
from pipeline.store.metric_files import write_json

SYSTEM = "small_data"
MODELS = FOLDER / SYSTEM / "models"
DATA = FOLDER / SYSTEM / "data"
SECONDS = "seconds.json"  # beside each model: how long it took
TIMED_CLIPS = 8  # on which networks are timed

FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class SmallDataStudy(Study):
    """The content of study.yaml."""

    folders: dict[FolderName, str] = Field(min_length=1)  # data set -> its folder
    weights: str | None = Field(min_length=1)  # a folder with <network>.safetensors; None: random weights
    arms: dict[str, TrainingSettings] = Field(min_length=2)  # what is compared; the first is from scratch
    per_class: list[PositiveInt]  # training clips of a class; all clips come after them
    validation: float = Field(gt=0, le=1)  # validation clips for each training clip


def small_data() -> None:
    """Run the study: train all arms on all data sets, and write metrics.json, the tables and the figure."""
    stopwatch = Stopwatch(MODELS)
    params, study = read_study(SYSTEM, SmallDataStudy)
    previous = _read_previous(FOLDER / SYSTEM / "metrics.json")
    about, results = {}, {}
    for name, folder in study.folders.items():
        if Path(folder).expanduser().is_dir():
            about[name], results[name] = run_on(name, Path(folder), params, study)
        elif name in previous["results"]:
            print(f"small_data: {folder} is not there: the results on {name} stay those of the last run")
            about[name], results[name] = previous["about"][name], previous["results"][name]
        else:
            print(f"small_data: {folder} is not there: {name} is left out")
    if not results:
        folders = ", ".join(study.folders.values())
        raise UserError(f"{FOLDER / SYSTEM}/study.yaml: folders: none is there ({folders})")
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": about,
        "results": results,
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    figure.save(FOLDER / SYSTEM / figure.FILE, metrics)
    best = (f"{name} {table.describe_best(arms)}" for name, arms in results.items())
    print(f"small_data: accuracy with all clips: {'; '.join(best)}")


def set_weights(params: Params, weights: str | None) -> Params:
    """Return `params` with the weights of all towers. weights: see SmallDataStudy.

    Raises UserError if there is no such folder.
    """
    if weights is None:
        return params
    folder = Path(weights).expanduser().resolve()
    if not folder.is_dir():
        where = f"{FOLDER / SYSTEM}/study.yaml: weights"
        raise UserError(f"{where}: {weights} is not there: name a folder with <network>.safetensors")
    settings = {}
    for side in ("audio", "video"):
        keywords = getattr(params.encoders, side)
        for library in {network.partition("/")[0] for network in getattr(params.towers, side)}:
            settings[f"encoders.{side}.{library}"] = keywords.get(library, {}) | {"pretrained": str(folder)}
    return apply_settings(params, settings, f"{FOLDER / SYSTEM}/study.yaml: weights")


def run_on(
    name: str, folder: Path, params: Params, study: SmallDataStudy
) -> tuple[dict[str, Any], dict[str, dict]]:
    """Train and evaluate all arms on one data set.

    Returns what there is in it, and arm -> size ("10", ..., "all") -> metric -> result over seeds.
    """
    where = f"{FOLDER / SYSTEM}/study.yaml"
    source = {"data.source": "folder", "data.cut": "first", "data.folder": str(folder.expanduser().resolve())}
    params = set_weights(apply_settings(params, source, where), study.weights)
    data = study_data.load(DATA / name, params)
    counts = count_classes(data, params.label, "train")
    sizes = [size for size in study.per_class if size < max(counts.values())]
    results: dict[str, dict] = {arm: {} for arm in study.arms}
    for size in (*sizes, None):
        size_name = str(size or table.ALL)
        for arm, settings in study.arms.items():
            arm_params = apply_settings(params, settings, f"{where}: arms: {arm}")
            out = MODELS / f"{name}-{arm.replace(' ', '_')}-{size_name}"
            results[arm][size_name] = train_and_test(arm_params, data, size, out, study)
    about = {"classes": len(counts), "per_class": round(sum(counts.values()) / len(counts))}
    about |= {split: len(data.indices(split)) for split in ("train", "val", "test")}
    return about, results


def train_and_test(
    params: Params, data: Dataset, per_class: int | None, out: Path, study: SmallDataStudy
) -> dict[str, Any]:
    """Train one arm on a number of clips of each class with all seeds, and test it on all test clips.

    Each seed has its own choice of clips, which is the same for all arms. per_class: None: all clips.
    Returns metric -> result over seeds.
    """
    correspondence, retrieval, seconds = [], [], []
    for seed in study.seeds:
        print(f"small_data: {out.name}, seed {seed}", flush=True)
        few = choose_clips(data, per_class, study.validation, params.label, seed)
        model, timing = train_timed(params, few, out.with_name(f"{out.name}-{seed}"), seed)
        metrics = evaluate(model, few, Settings.from_params(params)).metrics
        correspondence.append(metrics["correspondence"])
        retrieval.append(metrics["retrieval"]["audio_to_video"])
        seconds.append(timing)
    result = {
        "accuracy": over_seeds.mean(correspondence, "accuracy"),
        "auc": over_seeds.mean(correspondence, "auc"),
        "ndcg_30": over_seeds.mean(retrieval, "ndcg_30") | {"chance": retrieval[0]["chance"]["ndcg_30"]},
    }
    for kind in ("training", "towers"):
        values = [timing[kind] for timing in seconds]
        result[f"{kind}_seconds"] = {"seconds": round(float(np.mean(values)), 3), "seeds": values}
    return result


def train_timed(params: Params, data: Dataset, out: Path, seed: int) -> tuple[Model, dict[str, float]]:
    """Train a model unless it is up to date, and return it with the seconds that its training took.

    Returns the model and {"training", "towers"}: seconds of a processor core for the training, and for the
    towers over all clips for training and validation, once. Both are those of the time when it was trained.
    """
    start, time_of_start = time.process_time(), time.time()
    model = train_cached(params, data, out, seed=seed)
    training = time.process_time() - start
    if (out / "config.json").stat().st_mtime >= time_of_start or not (out / SECONDS).exists():
        clips = np.concatenate([data.indices(split) for split in ("train", "val")])
        towers = time_towers(model, data, clips[:TIMED_CLIPS]) * len(clips)
        write_json({"training": round(training, 3), "towers": round(towers, 3)}, out / SECONDS)
    return model, json.loads((out / SECONDS).read_text(encoding="utf-8"))


def time_towers(model: Model, data: Dataset, clips: np.ndarray) -> float:
    """Return the seconds of a processor core that the towers of a model take for one clip; 0 without towers.

    That is the time to embed clips from their windows, less the time to embed them from stored features.
    """
    if not model.config["towers"]:
        return 0.0
    seconds = []
    for source in (dataclasses.replace(data, features={}), data):
        model.embed(source, clips[:1])  # what is done once
        start = time.process_time()
        model.embed(source, clips)
        seconds.append(time.process_time() - start)
    return max(0.0, seconds[0] - seconds[1]) / len(clips)


def choose_clips(data: Dataset, per_class: int | None, validation: float, label: str, seed: int) -> Dataset:
    """Return the data set with only some of the clips for training and validation; test clips all stay.

    per_class: training clips of each class, at most; None: all. A smaller choice is a part of a larger one.
    validation: validation clips for each training clip; at least one of each class. label: which labels.
    """
    if per_class is None:
        return data
    classes = _class_of_clips(data, label)
    split, rng = data.split.copy(), np.random.default_rng(seed)
    for name, count in (("train", per_class), ("val", max(1, round(per_class * validation)))):
        for class_name in np.unique(classes):
            clips = rng.permutation(np.flatnonzero((data.split == name) & (classes == class_name)))
            split[clips[count:]] = ""
    return dataclasses.replace(data, split=split, digest=digest(data.digest, split.tolist()))


def count_classes(data: Dataset, label: str, split: str) -> dict[str, int]:
    """Return the number of clips of each class in a split. label: which labels."""
    names = _class_of_clips(data, label)[data.indices(split)].tolist()
    return dict(sorted(Counter(names).items()))


def _class_of_clips(data: Dataset, label: str) -> np.ndarray:
    """Return the class of each clip, (n,) str; of several labels, all of them. label: which labels."""
    return np.array(["; ".join(names) for names in data.class_names(label)])


def _read_previous(path: Path) -> dict[str, Any]:
    """Return the results of the last run; empty if there are none."""
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"about": {}, "results": {}}


if __name__ == "__main__":
    run(small_data)
