"""The tables of the grid: which pair of encoders and which loss is best, and which differences are noise.

- A row holds the metrics of a pair on the test split; rows are ranked by AUC.
- Leaders are the pairs with the best validation AUC, trained again with other seeds.
- `behind`: AUC of the best row minus that of this row, with its 95% interval. All models are evaluated on the
  same test pairs, so the interval comes from the same resamples of both. For leaders it is the difference of
  means over seeds. `near`, within noise of the best: the interval reaches 0.
- `above_chance`: the whole interval of the AUC lies above 0.5.
- Losses are compared over the same pairs of encoders: the mean difference in AUC, with a 95% percentile
  bootstrap over pairs of encoders.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import percentile_interval, resample_groups


@dataclass
class Pair:
    """A pair of encoders under a loss.

    metrics: of the test split. history: a row for each epoch. other_seeds: metrics with each other seed.
    resampled_aucs: of each training, (bootstrap,) AUCs of the same resamples.
    """

    audio: str
    video: str
    loss: str
    metrics: dict[str, Any]
    history: list[dict] = field(default_factory=list)
    other_seeds: list[dict] = field(default_factory=list)
    resampled_aucs: list[np.ndarray] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.audio}-{self.video}-{self.loss}"

    @property
    def auc(self) -> float:
        return self.metrics["correspondence"]["auc"]

    @property
    def validation(self) -> float:
        """The validation AUC, by which leaders are chosen; 0 without validation."""
        return self.metrics["chosen"].get("val/auc", 0.0)


def best_by_validation(pairs: list[Pair], count: int) -> list[Pair]:
    """Return the `count` pairs with the best validation AUC, best first."""
    return sorted(pairs, key=lambda pair: (-pair.validation, pair.name))[:count]


def summarize(pairs: list[Pair], leaders: list[Pair], bootstrap: int, seed: int) -> dict[str, Any]:
    """Return {"rows": by rank, "leaders": by rank, "losses": [...], "against": {loss: {other: {...}}}}."""
    rows = [(_row(pair, [pair.metrics]), pair.resampled_aucs[0]) for pair in pairs]
    over_seeds = [
        (_row(pair, [pair.metrics, *pair.other_seeds]), np.mean(pair.resampled_aucs, axis=0))
        for pair in leaders
    ]
    losses = list(dict.fromkeys(pair.loss for pair in pairs))
    return {
        "rows": _rank(rows),
        "leaders": _rank(over_seeds),
        "losses": [_mean_of_loss(loss, [pair for pair in pairs if pair.loss == loss]) for loss in losses],
        "against": {
            a: {b: _compare_losses(pairs, a, b, bootstrap, seed) for b in losses if b != a} for a in losses
        },
    }


def _rank(rows: list[tuple[dict, np.ndarray]]) -> list[dict]:
    """Sort rows by AUC, best first, and add `behind`, `behind_ci` and `near`. rows: with resampled AUCs."""
    ranked = sorted(rows, key=lambda row: (-row[0]["auc"], row[0]["name"]))
    best, best_aucs = ranked[0] if ranked else ({}, np.empty(0))
    for row, aucs in ranked:
        row["behind"] = best["auc"] - row["auc"]
        row["behind_ci"] = percentile_interval([best_aucs - aucs])
        row["near"] = row["behind_ci"][0] <= 0
    return [row for row, _ in ranked]


def _row(pair: Pair, runs: list[dict]) -> dict[str, Any]:
    """Return means over runs; an interval has the mean of their half-widths."""
    row: dict[str, Any] = {"name": pair.name, "audio": pair.audio, "video": pair.video, "loss": pair.loss}
    for key in ("accuracy", "auc"):
        metrics = [run["correspondence"] for run in runs]
        row[key] = float(np.mean([m[key] for m in metrics]))
        ends = np.array([m["ci"][key] for m in metrics])
        middle = row[key] - np.mean([m[key] for m in metrics])
        row[f"{key}_ci"] = [float(x + middle) for x in ends.mean(0)]
        row[f"{key}_seeds"] = [m[key] for m in metrics]
    retrieval = [run["retrieval"] for run in runs]
    for direction in retrieval[0]:
        row[direction] = float(np.mean([r[direction]["ndcg_30"] or np.nan for r in retrieval]))
    row["validation"] = pair.validation
    row["n"] = runs[0]["correspondence"]["n"]
    row["above_chance"] = row["auc_ci"][0] > 0.5
    return row


def _mean_of_loss(loss: str, pairs: list[Pair]) -> dict[str, Any]:
    metrics = [pair.metrics["correspondence"] for pair in pairs]
    return {
        "loss": loss,
        "pairs": len(pairs),
        "accuracy": float(np.mean([m["accuracy"] for m in metrics])),
        "auc": float(np.mean([m["auc"] for m in metrics])),
    }


def _compare_losses(pairs: list[Pair], a: str, b: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """Return the mean AUC of loss `a` minus that of `b`, over the pairs of encoders that both have."""
    aucs: dict[tuple[str, ...], float] = {(pair.audio, pair.video, pair.loss): pair.auc for pair in pairs}
    differences = np.array(
        [
            aucs[*encoders, a] - aucs[*encoders, b]
            for *encoders, loss in aucs
            if loss == a and (*encoders, b) in aucs
        ]
    )
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
    """Return the generated part of README.md. metrics: as in metrics.json."""
    about, results = metrics["about"], metrics["results"]
    sections = [
        _about(about, results["rows"]),
        _leaders_table(results["leaders"]) if results["leaders"] else "",
        _losses_tables(results["losses"], results["against"]),
        _rows_table(results["rows"]),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _about(about: dict[str, Any], rows: list[dict]) -> str:
    at_chance = sum(not row["above_chance"] for row in rows)
    return (
        f"{about['train_clips']} clips train, {about['val_clips']} choose the epoch, for {about['epochs']}"
        f" epochs; `pairing: {about['pairing']}`, `matcher: {about['matcher']}`.\n\n"
        f"Metrics are of the {rows[0]['n']} balanced pairs of the test split, with 95% intervals (bootstrap"
        " over videos). AUC is the probability that a matching pair gets a higher score than another pair;"
        f" 0.5 is chance, and the interval of {at_chance or 'none'} of the {len(rows)} reaches it."
    )


def _leaders_table(leaders: list[dict]) -> str:
    lines = [
        f"### The best {len(leaders)}, with several seeds",
        "",
        f"Chosen by validation AUC, each trained with {len(leaders[0]['auc_seeds'])} seeds; means over seeds,"
        " and the AUC of each seed. ≈: within noise of the first.",
        "",
        "| audio encoder | video encoder | loss | accuracy | AUC | seeds | behind the first | |",
        "| --- | --- | --- | ---: | ---: | --- | ---: | --- |",
    ]
    for i, row in enumerate(leaders):
        seeds = ", ".join(f"{x:.3f}" for x in row["auc_seeds"])
        metrics = f"{_with_interval(row, 'accuracy')} | {_with_interval(row, 'auc')}"
        lines.append(f"| {_names(row)} | {metrics} | {seeds} | {_behind(row, i)} | {_mark(row, i)} |")
    return "\n".join(lines)


def _losses_tables(losses: list[dict], against: dict[str, dict[str, dict]]) -> str:
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
    for a, others in against.items():
        cells = [_difference(others[b]) if b != a else "" for b in names]
        lines.append(f"| `{a}` | " + " | ".join(cells) + " |")
    if "multi" in against:
        lines += ["", _compare_multi(against["multi"])]
    return "\n".join(lines)


def _compare_multi(against: dict[str, dict]) -> str:
    """Say whether the loss that VideoSound-Matching proposes is better than the others."""
    words = []
    for other in ("bce", "cosine", *sorted(against.keys() - {"bce", "cosine"})):
        if d := against.get(other):
            low, high = d["ci"]
            how = "better than" if low > 0 else "worse than" if high < 0 else "within noise of"
            words.append(f"{how} `{other}` ({d['difference']:+.3f}, {d['better_in']} of {d['pairs']} pairs)")
    return f"`multi`, which VideoSound-Matching proposes, is {', '.join(words)}."


def _rows_table(rows: list[dict]) -> str:
    lines = [
        "### All pairs",
        "",
        "≈: within noise of the first: the interval of `behind` reaches 0. nDCG@30 is of sound to picture,"
        " and of picture to sound.",
        "",
        "| audio encoder | video encoder | loss | accuracy | AUC | nDCG@30 | behind the first | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for i, row in enumerate(rows):
        metrics = f"{_with_interval(row, 'accuracy')} | {_with_interval(row, 'auc')}"
        ndcg = ", ".join(f"{row.get(key, np.nan):.3f}" for key in ("audio_to_video", "video_to_audio"))
        lines.append(f"| {_names(row)} | {metrics} | {ndcg} | {_behind(row, i)} | {_mark(row, i)} |")
    return "\n".join(lines)


def _names(row: dict) -> str:
    return f"`{row['audio']}` | `{row['video']}` | `{row['loss']}`"


def _with_interval(row: dict, key: str) -> str:
    low, high = row[f"{key}_ci"]
    return f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"


def _behind(row: dict, place: int) -> str:
    return _with_interval(row, "behind") if place else ""


def _mark(row: dict, place: int) -> str:
    if not row["above_chance"]:
        return "not above chance"
    return "best" if not place else "≈" if row["near"] else ""


def _difference(d: dict) -> str:
    text = f"{d['difference']:+.3f} [{d['ci'][0]:+.3f}, {d['ci'][1]:+.3f}]"
    bold = "**" if d["ci"][0] > 0 or d["ci"][1] < 0 else ""
    return f"{bold}{text}{bold}, {d['better_in']} of {d['pairs']}"
