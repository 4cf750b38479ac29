"""Train an experiment several times: with several seeds, or once for each fold of a cross-validation.

    python -m experiments seeds --seeds 3 [-S key=value ...]
    python -m experiments folds -S split.by=subject -S split.folds=all [-S key=value ...]

The trainings run one after the other in this process, on the data of the project. Models and predictions are
in `runs/<name>`, and a training that is up to date, or was interrupted, is not begun anew. `python -m
experiments compare runs/A runs/B` compares them.
"""

import argparse
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from dvc.repo import Repo

from experiments import compare
from experiments.study import check_training_settings
from models.evaluation import trial
from models.tasks import tasks
from pipeline.config import Params, apply_settings, read
from pipeline.config.reader import ParamsLoader
from pipeline.dataset import dataset
from pipeline.dataset.dataset import STATISTICS, Dataset
from pipeline.dataset.duplicates import read_quality
from pipeline.dataset.folds import count_folds
from pipeline.dataset.split import split_clips
from pipeline.dataset.statistics import compute_statistics
from pipeline.errors import UserError
from pipeline.metrics import predictions
from pipeline.metrics.comparison import Run
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.metric_files import write_json

RUNS = Path("runs")
DATA = Path("data")
DATA_STAGES = ("statistics", "audio_towers", "video_towers")  # the last ones before a training


def seeds(arguments: list[str]) -> None:
    """Run the command: train and evaluate with several seeds, and print the metrics over them."""
    options, settings = _parse("seeds", arguments, seeds=3)
    params = apply_settings(read(), settings, "-S")
    _check(params)
    out = RUNS / options.name
    data = _load(DATA, params)
    tables = []
    for seed in _seeds(params, options):
        print(f"seeds: {out}, seed {seed}", flush=True)
        _, result = trial.run(params, data, out / f"seed-{seed}", seed=seed)
        tables.append(predictions.concatenate(result.predictions))
    _report(out, tables, params, options)


def folds(arguments: list[str]) -> None:
    """Run the command: train and evaluate each fold, and print the metrics over all test clips."""
    options, settings = _parse("folds", arguments, seeds=1)
    params = apply_settings(read(), settings, "-S")
    if params.split.folds is None:
        raise UserError("split.folds: null: say into how many parts: -S split.folds=5, or all")
    if params.encoder and tasks.get(params.task).pretrains(params):
        raise UserError(
            "classification.start: pretrain: the model of the stage pretrain has seen the test clips of every"
            " fold: set scratch"
        )
    _check(params)
    out = RUNS / options.name
    n_folds = _count_folds(params)
    tables = []
    for seed in _seeds(params, options):
        fold_tables = []
        for fold in range(n_folds):
            print(f"folds: {out}, seed {seed}, fold {fold + 1} of {n_folds}", flush=True)
            fold_params = apply_settings(params, {"split.fold": fold}, "-S")
            data = _load_fold(out / f"data/fold-{fold}", fold_params)
            _, result = trial.run(fold_params, data, out / f"models/seed-{seed}/fold-{fold}", seed=seed)
            fold_tables.append(_set_fold(predictions.concatenate(result.predictions), fold))
        predictions.write(fold_tables, out / f"seed-{seed}" / predictions.FILE)
        tables.append(predictions.concatenate(fold_tables))
    _report(out, tables, params, options)


def _parse(command: str, arguments: list[str], seeds: int) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Return the options of a command, and the settings after -S. seeds: how many, by default."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments {command}", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    text = f"trainings with different seeds, from `seed` on (default: {seeds})"
    parser.add_argument("--seeds", type=int, default=seeds, help=text, dest="count")
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="of params.yaml"
    )
    parser.add_argument("--name", help="folder in runs/ (default: the settings)")
    compare.add_options(parser)
    options = parser.parse_args(arguments)
    if not 1 <= options.count <= 1000:
        raise UserError(f"--seeds: {options.count}: choose from 1 to 1000")
    options.name = options.name or re.sub(r"[^\w.=-]+", "_", ",".join(options.set_param)) or "default"
    if not re.fullmatch(r"[\w=-][\w.=-]{0,150}", options.name):
        raise UserError(f"--name: {options.name[:60]}: use letters, digits, and _ . = -, at most 150 of them")
    options.out = str(RUNS / options.name) if options.out == compare.OUT else options.out
    allowed = ("split",) if command == "folds" else ()
    return options, _read_settings(options.set_param, allowed)


def _read_settings(texts: list[str], sections: tuple[str, ...]) -> dict[str, Any]:
    """Return key -> value of settings as after -S. sections: that may be set beside those of training.

    Raises UserError for a text without `=`, for no YAML, and for keys that change the data.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"-S {text}: should be key=value")
        try:
            settings[key.lstrip("+")] = yaml.load(value, ParamsLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError(f"-S {text}: the value is not YAML") from None
    try:
        check_training_settings({k: v for k, v in settings.items() if k.partition(".")[0] not in sections})
    except ValueError as e:
        raise UserError(f"-S {e}; for another key, change the project first: dvc exp run -S ...") from None
    return settings


def _check(params: Params) -> None:
    """Raise UserError if the data of the project are not those of params.yaml, or if nothing is predicted."""
    if tasks.get(params.task).stage == "pretrain":
        raise UserError(f"task: {params.task}: only trainings of the stage train can be repeated")
    with Repo(".") as repo:
        changed = repo.status(targets=list(DATA_STAGES), with_deps=True)
    if changed:
        stages = ", ".join(changed)
        raise UserError(f"data/ is not that of params.yaml ({stages}): dvc repro {' '.join(DATA_STAGES)}")


def _seeds(params: Params, options: argparse.Namespace) -> range:
    return range(params.seed, params.seed + options.count)


def _report(out: Path, tables: list[pa.Table], params: Params, options: argparse.Namespace) -> None:
    """Print and write the metrics over seeds. tables: the predictions of each.

    Predictions of seeds that an earlier command with this name had in addition are deleted, so that `compare`
    finds those of the table.
    """
    folders = {f"seed-{seed}" for seed in _seeds(params, options)}
    for path in out.glob(f"seed-*/{predictions.FILE}"):
        if path.parent.name not in folders:
            path.unlink()
    compare.report([Run(str(out), tables)], options)


def _load(folder: Path, params: Params) -> Dataset:
    sections = params.audio, params.video, params.input
    return dataset.load(folder, *sections, with_features=True, modality=params.modality)


def _split(params: Params) -> pa.Table:
    clips = clip_table.read(DATA / "clips.parquet")
    return split_clips(clips, read_quality(clips), params)


def _count_folds(params: Params) -> int:
    """Return the number of folds. Raises UserError if there are too few groups."""
    table = _split(params)
    usable = table.filter(table["split"].is_valid())
    folds = params.split.folds
    assert folds is not None  # the caller has checked it
    return count_folds(folds, len(usable["group"].unique()))


def _load_fold(folder: Path, params: Params) -> Dataset:
    """Load the data of a fold: links to those of the project, with the splits and statistics of the fold."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in DATA.iterdir():
        link = folder / path.name
        if path.name not in ("splits.parquet", STATISTICS):
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(path, folder))
    write_table(_split(params), folder / "splits.parquet")
    data = _load(folder, params)
    if params.encoder:
        write_json(compute_statistics(data), folder / STATISTICS)
    return data


def _set_fold(table: pa.Table, fold: int) -> pa.Table:
    """Return predictions with the number of the fold in each row."""
    column = predictions.SCHEMA.get_field_index("fold")
    return table.set_column(
        column, predictions.SCHEMA.field(column), pa.array([fold] * len(table), pa.int32())
    )
