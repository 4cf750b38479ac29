"""The tables of the grid: which pair of encoders and which loss is best, and which differences are noise.

- A row has the metrics of a pair on the test split; rows are ranked by AUC.
- Leaders are the pairs with the best validation AUC, trained again with other seeds.
- `behind`: AUC of the best row minus that of this row, with its 95% interval. All models are evaluated on the
  same test pairs, so the interval comes from the same resamples of both. For leaders it is the difference of
  means over seeds. `near`, within noise of the best: the interval reaches 0.
- `above_chance`: the whole interval of the AUC lies above 0.5.
- Losses are compared over the same pairs of encoders: the mean difference in AUC, with a 95% percentile
  bootstrap over pairs of encoders.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.metrics.bootstrap import percentile_interval, resample_groups


@dataclass
class Pair:
    """A pair of encoders that was trained with one loss."""

    audio: str  # name of the audio encoder
    video: str  # name of the video encoder
    loss: str
    metrics: dict[str, Any]  # of the test split, and `chosen`: the validation metrics of the best epoch
    history: list[dict] = field(default_factory=list)  # for each epoch its metrics
    other_seeds: list[dict] = field(default_factory=list)  # of a leader: metrics with each other seed
    # For each seed, the AUC in each resample of the test pairs, (bootstrap,). The resamples are the same for
    # all pairs of encoders and all seeds.
    resampled_aucs: list[np.ndarray] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name in files and tables: audio encoder, video encoder and loss."""
        return f"{self.audio}-{self.video}-{self.loss}"

    @property
    def auc(self) -> float:
        """The AUC on the test split."""
        return self.metrics["correspondence"]["auc"]

    @property
    def validation_auc(self) -> float:
        """The validation AUC, by which leaders are chosen; 0 without validation."""
        return self.metrics["chosen"].get("val/auc", 0.0)


def best_by_validation(pairs: list[Pair], count: int) -> list[Pair]:
    """Return the `count` pairs with the best validation AUC, best first."""
    return sorted(pairs, key=lambda pair: (-pair.validation_auc, pair.name))[:count]


def summarize(pairs: list[Pair], leaders: list[Pair], bootstrap: int, seed: int) -> dict[str, Any]:
    """Return `results` of metrics.json, from which the tables are made.

    "rows": all pairs by rank, a dictionary each; "leaders": the leaders by rank, means over seeds; "losses":
    for each loss the means over its pairs; "against": loss -> other loss -> how much better the first one is.
    bootstrap, seed: number of resamples of the pairs of encoders, and their seed.
    """
    rows = [_create_row(pair, [pair.metrics], pair.resampled_aucs[0]) for pair in pairs]
    leader_rows = []
    for pair in leaders:
        metrics = [pair.metrics, *pair.other_seeds]
        leader_rows.append(_create_row(pair, metrics, np.mean(pair.resampled_aucs, axis=0)))
    losses = list(dict.fromkeys(pair.loss for pair in pairs))
    return {
        "rows": _rank(rows),
        "leaders": _rank(leader_rows),
        "losses": [_mean_of_loss(loss, [pair for pair in pairs if pair.loss == loss]) for loss in losses],
        "against": {
            loss: {
                other: _compare_losses(pairs, loss, other, bootstrap, seed)
                for other in losses
                if other != loss
            }
            for loss in losses
        },
    }


class _Row(NamedTuple):
    """A row of a table, and the AUC of its pair in each resample, (bootstrap,)."""

    values: dict[str, Any]
    resampled_aucs: np.ndarray


def _rank(rows: list[_Row]) -> list[dict[str, Any]]:
    """Return the values of the rows by AUC, best first. Adds `behind`, `behind_ci` and `near` to them."""
    ranked = sorted(rows, key=lambda row: (-row.values["auc"], row.values["name"]))
    for row in ranked:
        best = ranked[0]
        row.values["behind"] = best.values["auc"] - row.values["auc"]
        row.values["behind_ci"] = percentile_interval([best.resampled_aucs - row.resampled_aucs])
        row.values["near"] = row.values["behind_ci"][0] <= 0
    return [row.values for row in ranked]


def _create_row(pair: Pair, seed_metrics: list[dict], resampled_aucs: np.ndarray) -> _Row:
    """Return a row with the means over seeds. The ends of an interval are means over seeds too.

    seed_metrics: for each seed of training, the metrics of the test split.
    """
    values: dict[str, Any] = {"name": pair.name, "audio": pair.audio, "video": pair.video, "loss": pair.loss}
    correspondence = [metrics["correspondence"] for metrics in seed_metrics]
    for key in ("accuracy", "auc"):
        intervals = np.array([metrics["ci"][key] for metrics in correspondence])  # (seeds, 2)
        values[key] = float(np.mean([metrics[key] for metrics in correspondence]))
        values[f"{key}_ci"] = intervals.mean(0).tolist()
        values[f"{key}_seeds"] = [metrics[key] for metrics in correspondence]
    retrieval = [metrics["retrieval"] for metrics in seed_metrics]
    for direction in retrieval[0]:
        # nDCG is None if no clip has a relevant one
        values[direction] = float(np.mean([metrics[direction]["ndcg_30"] or np.nan for metrics in retrieval]))
    values["validation"] = pair.validation_auc
    values["n"] = correspondence[0]["n"]
    values["above_chance"] = values["auc_ci"][0] > 0.5
    return _Row(values, resampled_aucs)


def _mean_of_loss(loss: str, pairs: list[Pair]) -> dict[str, Any]:
    """Return the mean accuracy and AUC of the pairs of encoders that were trained with a loss."""
    metrics = [pair.metrics["correspondence"] for pair in pairs]
    return {
        "loss": loss,
        "pairs": len(pairs),
        "accuracy": float(np.mean([m["accuracy"] for m in metrics])),
        "auc": float(np.mean([m["auc"] for m in metrics])),
    }


def _compare_losses(pairs: list[Pair], loss: str, other: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """Compare the AUC of two losses over the pairs of encoders that both have.

    Returns the mean `difference` (loss minus other) with its interval `ci`, the number of `pairs` of
    encoders, and for how many of them the difference is above 0 (`better_in`).
    """
    aucs = {(pair.audio, pair.video): pair.auc for pair in pairs if pair.loss == loss}
    other_aucs = {(pair.audio, pair.video): pair.auc for pair in pairs if pair.loss == other}
    differences = np.array([aucs[key] - other_aucs[key] for key in aucs if key in other_aucs])
    means = [
        weights @ differences / weights.sum(1)
        for weights in resample_groups(len(differences), bootstrap, seed)
    ]
    return {
        "difference": float(differences.mean()),
        "ci": percentile_interval(means),
        "better_in": int((differences > 0).sum()),
        "pairs": len(differences),
    }


# --- the tables in Markdown -----------------------------------------------------------------------------


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
    about, results = metrics["about"], metrics["results"]
    sections = [
        _introduction(about, results["rows"]),
        _leaders_table(results["leaders"]) if results["leaders"] else "",
        _losses_tables(results["losses"], results["against"]),
        _rows_table(results["rows"]),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _introduction(about: dict[str, Any], rows: list[dict]) -> str:
    """Say on which data the pairs were trained and tested, and what the metrics mean."""
    at_chance = sum(not row["above_chance"] for row in rows)
    return (
        f"{about['train_clips']} clips train, {about['val_clips']} choose the epoch, for {about['epochs']}"
        f" epochs; `pairing: {about['pairing']}`, `matcher: {about['matcher']}`.\n\n"
        f"Metrics are of the {rows[0]['n']} balanced pairs of the test split, with 95% intervals (bootstrap"
        " over videos). AUC is the probability that a matching pair gets a higher score than another pair;"
        f" 0.5 is chance, and the interval of {at_chance or 'none'} of the {len(rows)} reaches it."
    )


def _leaders_table(leaders: list[dict]) -> str:
    """Return the table of the leaders, by rank."""
    lines = [
        f"### The best {len(leaders)}, with several seeds",
        "",
        f"Chosen by validation AUC, each trained with {len(leaders[0]['auc_seeds'])} seeds; means over seeds,"
        " and the AUC of each seed. ≈: within noise of the first.",
        "",
        "| audio encoder | video encoder | loss | accuracy | AUC | seeds | behind the first | |",
        "| --- | --- | --- | ---: | ---: | --- | ---: | --- |",
    ]
    for rank, row in enumerate(leaders):
        seeds = ", ".join(f"{auc:.3f}" for auc in row["auc_seeds"])
        cells = (*_name_cells(row), *_metric_cells(row), seeds, *_rank_cells(row, rank))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _losses_tables(losses: list[dict], against: dict[str, dict[str, dict]]) -> str:
    """Return the table of the means of each loss, and the table that compares each with each.

    losses, against: those of `summarize`.
    """
    names = [row["loss"] for row in losses]
    lines = [
        "### Losses",
        "",
        "Means over all pairs of encoders:",
        "",
        "| loss | pairs | accuracy | AUC |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| `{row['loss']}` | {row['pairs']} | {row['accuracy']:.3f} | {row['auc']:.3f} |"
            for row in sorted(losses, key=lambda row: -row["auc"])
        ),
        "",
        "AUC with the loss of the row minus AUC with the loss of the column, for the same encoders, with its"
        " 95% interval over pairs of encoders, and for how many pairs it is larger. Bold: the interval does"
        " not reach 0.",
        "",
        "| | " + " | ".join(f"`{name}`" for name in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for loss, others in against.items():
        cells = [_format_comparison(others[other]) if other != loss else "" for other in names]
        lines.append(f"| `{loss}` | " + " | ".join(cells) + " |")
    if "multi" in against:
        lines += ["", _describe_multi(against["multi"])]
    return "\n".join(lines)


def _describe_multi(against: dict[str, dict]) -> str:
    """Say whether `multi`, the loss that VideoSound-Matching proposes, is better than the others.

    against: other loss -> its comparison with `multi`, as _compare_losses returns it.
    """
    phrases = []
    for other in ("bce", "cosine", *sorted(against.keys() - {"bce", "cosine"})):
        if other in against:
            difference, better_in, pairs = (against[other][k] for k in ("difference", "better_in", "pairs"))
            low, high = against[other]["ci"]
            relation = "better than" if low > 0 else "worse than" if high < 0 else "within noise of"
            phrases.append(f"{relation} `{other}` ({difference:+.3f}, {better_in} of {pairs} pairs)")
    return f"`multi`, which VideoSound-Matching proposes, is {', '.join(phrases)}."


def _rows_table(rows: list[dict]) -> str:
    """Return the table of all pairs of encoders with all losses, by rank."""
    lines = [
        "### All pairs",
        "",
        "≈: within noise of the first: the interval of `behind` reaches 0. nDCG@30 is of sound to picture,"
        " and of picture to sound.",
        "",
        "| audio encoder | video encoder | loss | accuracy | AUC | nDCG@30 | behind the first | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for rank, row in enumerate(rows):
        ndcg = ", ".join(f"{row.get(key, np.nan):.3f}" for key in ("audio_to_video", "video_to_audio"))
        cells = (*_name_cells(row), *_metric_cells(row), ndcg, *_rank_cells(row, rank))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _name_cells(row: dict) -> list[str]:
    """Return the cells with the names of encoders and loss."""
    return [f"`{row[key]}`" for key in ("audio", "video", "loss")]


def _metric_cells(row: dict) -> list[str]:
    """Return the cells with accuracy and AUC."""
    return [_format_with_interval(row, key) for key in ("accuracy", "auc")]


def _rank_cells(row: dict, rank: int) -> list[str]:
    """Return two cells: how far a row is behind the first one, and a remark. rank: 0 for the first."""
    behind = "" if rank == 0 else _format_with_interval(row, "behind")
    if not row["above_chance"]:
        return [behind, "not above chance"]
    if rank == 0:
        return [behind, "best"]
    return [behind, "≈" if row["near"] else ""]


def _format_with_interval(row: dict, key: str) -> str:
    low, high = row[f"{key}_ci"]
    return f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"


def _format_comparison(comparison: dict) -> str:
    """Return a cell with what _compare_losses returned; bold if the interval does not reach 0."""
    low, high = comparison["ci"]
    text = f"{comparison['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
    bold = "**" if low > 0 or high < 0 else ""
    return f"{bold}{text}{bold}, {comparison['better_in']} of {comparison['pairs']}"
