"""Compare models on the same test clips: intervals, and paired differences on the same resamples.

Metrics are computed from tables of predictions (predictions.py) and named as in metrics/evaluate.json.

- All tables keep only the clips that every one of them has. Retrieval ranks all test clips, so it is compared
  only if these are the same.
- Groups (videos or persons) are resampled, and every model is measured on the same resamples. The interval of
  a difference comes from the differences in each resample, so it is narrower than two intervals suggest.
- Several seeds of a model: values, resampled too, are means over them. An interval is over the test clips,
  for the mean of these trainings; the deviation is over seeds.
- Folds of a cross-validation: a model of each fold has scores of its own, so AUC, EER and minDCF are means
  over folds, weighted by the number of pairs. Other metrics are over the clips of all folds together (Forman
  and Scholz 2010, Apples-to-Apples in Cross-Validation Studies).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.metrics import classification, correspondence, retrieval, verification
from pipeline.metrics.bootstrap import pair_weights, percentile_interval, resample_groups, round_finite
from pipeline.metrics.predictions import THRESHOLD, read_classes

MetricFunction = Callable[[np.ndarray], dict[str, np.ndarray]]  # weights (b, n) -> metric -> (b,)
SECTIONS = {
    "pair": "correspondence",
    "query": "retrieval.{}",
    "class": "classification",
    "trial": "verification.{}",
}


@dataclass(frozen=True)
class Run:
    """What is compared: a model. seeds: its table of predictions, or those of several trainings of it."""

    name: str
    seeds: list[pa.Table]


@dataclass
class Comparison:
    """The result.

    rows: for each metric and run {"metric", "run", "n": pairs, queries, clips or trials, "value", "low",
    "high", "deviation" over seeds or None, "seeds": value of each, "difference" to the first run, its
    "difference_low" and "difference_high", None for the first run}. notes: what is not compared, or in part.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(runs: list[Run], bootstrap: int, seed: int) -> Comparison:
    """Compare runs, the first with each other one. bootstrap: number of resamples. seed: of these.

    Raises UserError if the runs have no metric or no test clip in common.
    """
    sections = [[split_sections(table) for table in run.seeds] for run in runs]
    all_sections = [tables for run in sections for tables in run]
    names = [name for name in all_sections[0] if all(name in tables for tables in all_sections)]
    run_names = ", ".join(run.name for run in runs)
    if not names:
        raise UserError(f"{run_names}: no metric in common: are they of one task and one modality?")
    result = Comparison()
    for name in names:
        tables, note = select_common([tables[name] for tables in all_sections])
        if note:
            result.notes.append(f"{name}: {note}")
        if tables:
            run_of_table = np.repeat(np.arange(len(runs)), [len(run.seeds) for run in runs])
            result.rows += _compare_section(name, tables, run_of_table, runs, bootstrap, seed)
    if not result.rows:
        raise UserError(f"{run_names}: nothing to compare: {'; '.join(result.notes)}")
    return result


def split_sections(table: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each section of metrics, such as `correspondence` or `retrieval.audio_to_video`."""
    keys = table.group_by(["kind", "name"], use_threads=False).aggregate([]).to_pylist()
    sections = {}
    for key in keys:
        is_in = pc.and_(pc.equal(table["kind"], key["kind"]), pc.equal(table["name"], key["name"]))
        sections[SECTIONS[key["kind"]].format(key["name"])] = table.filter(is_in)
    return sections


def select_common(tables: list[pa.Table]) -> tuple[list[pa.Table], str]:
    """Return the rows whose clips all tables of a section have, and a note if they have different ones.

    The list is empty if the section cannot be compared; the note then says why.
    """
    clip_sets = [set(_clip_ids(table).ravel()) for table in tables]
    common = set.intersection(*clip_sets)
    if not common:
        return [], "no test clip in common"
    note = ""
    if any(clips != common for clips in clip_sets):
        sizes = ", ".join(str(len(clips)) for clips in clip_sets)
        if tables[0]["kind"][0].as_py() == "query":
            return [], f"left out: the runs rank different clips ({sizes}; {len(common)} in common)"
        note = f"on the {len(common)} test clips in common, of {sizes}"
        ids = pa.array(sorted(common))
        tables = [_select_clips(table, ids) for table in tables]
        if not all(len(table) for table in tables):
            return [], "no test pair in common"
    labels = [_labels_by_clip(table) for table in tables]
    if any(other != labels[0] for other in labels):
        return [], "left out: the runs predict different classes of the same clips"
    return tables, note


def _select_clips(table: pa.Table, ids: pa.Array) -> pa.Table:
    """Return the rows of which both clips are among `ids`; a row may have one clip alone."""
    is_in = pc.is_in(table["clip_id"], ids)
    other = table["other_clip_id"]
    return table.filter(pc.and_(is_in, pc.or_(pc.is_null(other), pc.is_in(other, ids))))


def _labels_by_clip(table: pa.Table) -> dict[str, list[str]]:
    """Return the actual classes of each clip of a classifier's rows; empty for rows of other kinds."""
    if table["kind"][0].as_py() != "class":
        return {}
    return dict(zip(table["clip_id"].to_pylist(), map(sorted, table["actual"].to_pylist()), strict=True))


def _clip_ids(table: pa.Table) -> np.ndarray:
    """Return the clips of each row of a section, (n, 1) or (n, 2)."""
    return _both(table, "clip_id")


def _both(table: pa.Table, column: str) -> np.ndarray:
    """Return a column and, if the rows of the section have another clip, that of the other: (n, 1 or 2)."""
    names = [column] if table["other_clip_id"].null_count else [column, f"other_{column}"]
    return np.array([table[name].to_pylist() for name in names], object).T


def _compare_section(
    name: str, tables: list[pa.Table], run_of_table: np.ndarray, runs: list[Run], bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Return the rows of the metrics of one section. run_of_table: (tables,) the index of each one's run."""
    functions = [metric_function(table) for table in tables]
    group_numbers, n_groups = _number_groups(tables)
    unweighted = [
        function(np.ones((1, len(table)))) for function, table in zip(functions, tables, strict=True)
    ]
    resampled: list[dict[str, list[np.ndarray]]] = [{metric: [] for metric in unweighted[0]} for _ in tables]
    width = max(len(table) for table in tables)
    for counts in resample_groups(n_groups, bootstrap, seed, width):
        for function, numbers, blocks in zip(functions, group_numbers, resampled, strict=True):
            for metric, values in function(pair_weights(counts, numbers)).items():
                blocks[metric].append(values)
    rows = []
    for metric in unweighted[0]:
        if not all(metric in values for values in unweighted):
            continue
        seed_values = np.array([values[metric][0] for values in unweighted])
        if not np.isfinite(seed_values).all():
            continue  # undefined: no clip has a relevant one
        samples = [np.concatenate(blocks[metric]) for blocks in resampled]
        run_samples = [
            np.mean([samples[table] for table in np.flatnonzero(run_of_table == number)], axis=0)
            for number in range(len(runs))
        ]
        for number, run in enumerate(runs):
            of_run = seed_values[run_of_table == number]
            row = _describe(of_run, run_samples[number])
            if number:
                baseline = seed_values[run_of_table == 0].mean()
                row |= _describe_difference(of_run.mean() - baseline, run_samples[number] - run_samples[0])
            n = len(tables[int(np.flatnonzero(run_of_table == number)[0])])
            rows.append({"metric": f"{name}.{metric}", "run": run.name, "n": n} | row)
    return rows


def _describe(seed_values: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    """Return the entries of a row about one run. samples: the mean over seeds in each resample."""
    low, high = percentile_interval([samples]) or (None, None)
    return {
        "value": round_finite(seed_values.mean()),
        "low": low,
        "high": high,
        "deviation": round_finite(seed_values.std(ddof=1)) if len(seed_values) > 1 else None,
        "seeds": [round_finite(value) for value in seed_values],
        "difference": None,
        "difference_low": None,
        "difference_high": None,
    }


def _describe_difference(difference: float, samples: np.ndarray) -> dict[str, Any]:
    """Return the entries of a row about its difference to the first run. samples: in each resample."""
    low, high = percentile_interval([samples]) or (None, None)
    return {"difference": round_finite(difference), "difference_low": low, "difference_high": high}


def _number_groups(tables: list[pa.Table]) -> tuple[list[np.ndarray], int]:
    """Return the number of the group of each row's clips in each table, (n,) or (n, 2), and their count.

    A clip's group is that of the first table: numbers are in the order of its rows, as in `evaluate`.
    """
    ids, groups = _clip_ids(tables[0]), _both(tables[0], "group")
    group_of: dict[str, str] = dict(zip(ids.ravel(), groups.ravel(), strict=True))
    numbers: dict[str, int] = {}
    group_numbers = []
    for table in tables:
        clips = _clip_ids(table)
        groups_here = dict(zip(clips.ravel(), _both(table, "group").ravel(), strict=True)) | group_of
        names = [groups_here[clip] for clip in clips.ravel()]
        coded = np.array([numbers.setdefault(group, len(numbers)) for group in names])
        has_two = clips.shape[1:] == (2,)
        group_numbers.append(coded.reshape(-1, 2) if has_two else coded)
    return group_numbers, len(numbers)


def metric_function(table: pa.Table) -> MetricFunction:
    """Return a function of weights (b, n) of the rows of one section that returns metric -> values (b,)."""
    kind = table["kind"][0].as_py()
    if kind == "query":
        values = [table[name].to_numpy(zero_copy_only=False) for name in retrieval.METRICS]
        return retrieval.metric_function(np.array(values, float).T)
    if kind == "class":
        classes, multilabel = read_classes(table)
        number = {name: i for i, name in enumerate(classes)}
        targets = np.zeros((len(table), len(classes)), bool)
        for row, names in enumerate(table["actual"].to_pylist()):
            targets[row, [number[name] for name in names]] = True
        probabilities = np.array(table["probabilities"].to_pylist(), float)
        return classification.metric_function(probabilities, targets, multilabel)
    scores = table["score"].to_numpy()
    is_match = table["is_match"].to_numpy(zero_copy_only=False).astype(bool)
    folds = pc.fill_null(table["fold"], 0).to_numpy()
    parts = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        if kind == "pair":
            parts.append((rows, correspondence.metric_function(scores[rows], is_match[rows], THRESHOLD)))
        else:
            parts.append((rows, verification.metric_function(scores[rows], is_match[rows])))
    return _mean_over_folds(parts)


def _mean_over_folds(parts: list[tuple[np.ndarray, MetricFunction]]) -> MetricFunction:
    """Return a function that averages metrics over folds, weighted by the weight of their rows.

    parts: the rows of each fold, and the function of their weights. A fold where a metric is undefined (NaN)
    does not count.
    """

    def compute_metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        if len(parts) == 1:
            return parts[0][1](weights)
        fold_weights = np.array([weights[:, rows].sum(1) for rows, _ in parts])  # (folds, b)
        fold_metrics = [function(weights[:, rows]) for rows, function in parts]
        means = {}
        for metric in fold_metrics[0]:
            values = np.array([metrics[metric] for metrics in fold_metrics])
            counted = np.where(np.isfinite(values), fold_weights, 0)
            total = counted.sum(0)
            means[metric] = (counted * np.nan_to_num(values)).sum(0) / np.where(total > 0, total, np.nan)
        return means

    return compute_metrics
