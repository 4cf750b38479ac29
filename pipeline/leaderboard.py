"""What the grid found: which pair of encoders, which loss, and what is only noise.

- A pair's numbers are those of the test split; its rank is by AUC there.
- `leaders` are the pairs that validation likes best, trained once more with each of the other seeds.
- `behind`: by how much the best one's AUC is larger, with the 95% interval of that difference: all judge the
  same pairs, so both are taken from the same resamples. `near`, within noise of the best: it reaches 0. Of
  leaders it is the difference of means over seeds.
- `above_chance`: the whole interval of the AUC lies above 0.5.
- Losses are compared over the same pairs of encoders: the mean of the differences in AUC, with a 95%
  percentile bootstrap over pairs.
"""

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.metrics.bootstrap import interval, resamples
from pipeline.report import charts, page

TEMPLATE = "leaderboard.html"


@dataclass
class Cell:
    """A pair under a loss: metrics of the test split, a row for each epoch, metrics with other seeds, and of
    each training (bootstrap,) AUCs of the same resamples."""

    audio: str
    video: str
    loss: str
    metrics: dict[str, Any]
    history: list[dict] = field(default_factory=list)
    seeds: list[dict] = field(default_factory=list)
    areas: list[np.ndarray] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.audio}-{self.video}-{self.loss}"

    @property
    def auc(self) -> float:
        return self.metrics["correspondence"]["auc"]

    @property
    def validation(self) -> float:
        """By which leaders are chosen; 0 without validation."""
        return self.metrics["chosen"].get("val/auc", 0.0)


def leading(cells: list[Cell], count: int) -> list[Cell]:
    """Those that validation likes best."""
    return sorted(cells, key=lambda c: (-c.validation, c.name))[:count]


def summary(cells: list[Cell], leaders: list[Cell], bootstrap: int, seed: int) -> dict[str, Any]:
    """{"rows": by rank, "leaders": by rank, "losses": [...], "against": {loss: {other: {...}}}}."""
    rows = _ranked([(_row(c, [c.metrics]), c.areas[0]) for c in cells])
    several = _ranked([(_row(c, [c.metrics, *c.seeds]), np.mean(c.areas, axis=0)) for c in leaders])
    losses = list(dict.fromkeys(c.loss for c in cells))
    return {
        "rows": rows,
        "leaders": several,
        "losses": [_loss(loss, [c for c in cells if c.loss == loss]) for loss in losses],
        "against": {a: {b: _against(cells, a, b, bootstrap, seed) for b in losses if b != a} for a in losses},
    }


def _ranked(found: list[tuple[dict, np.ndarray]]) -> list[dict]:
    """By AUC, best first, with what each is behind the best."""
    found = sorted(found, key=lambda f: (-f[0]["auc"], f[0]["name"]))
    for row, areas in found:
        best, most = found[0]
        row["behind"] = best["auc"] - row["auc"]
        row["behind_ci"] = interval([most - areas])
        row["near"] = row["behind_ci"][0] <= 0
    return [row for row, _ in found]


def _row(cell: Cell, runs: list[dict]) -> dict[str, Any]:
    """Means over runs; an interval keeps the mean of their half-widths."""
    row: dict[str, Any] = {"name": cell.name, "audio": cell.audio, "video": cell.video, "loss": cell.loss}
    for key in ("accuracy", "auc"):
        pairs = [run["correspondence"] for run in runs]
        row[key] = float(np.mean([p[key] for p in pairs]))
        ends = np.array([p["ci"][key] for p in pairs])
        middle = row[key] - np.mean([p[key] for p in pairs])
        row[f"{key}_ci"] = [float(x + middle) for x in ends.mean(0)]
        row[f"{key}_seeds"] = [p[key] for p in pairs]
    retrieval = [run["retrieval"] for run in runs]
    for direction in retrieval[0]:
        row[direction] = float(np.mean([r[direction]["ndcg_30"] or np.nan for r in retrieval]))
    row["validation"] = cell.validation
    row["n"] = runs[0]["correspondence"]["n"]
    row["above_chance"] = row["auc_ci"][0] > 0.5
    return row


def _loss(loss: str, cells: list[Cell]) -> dict[str, Any]:
    pairs = [c.metrics["correspondence"] for c in cells]
    return {
        "loss": loss,
        "pairs": len(cells),
        "accuracy": float(np.mean([p["accuracy"] for p in pairs])),
        "auc": float(np.mean([p["auc"] for p in pairs])),
    }


def _against(cells: list[Cell], a: str, b: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """By how much AUC `a` is better than `b`, over pairs of encoders that both have."""
    found: dict[tuple[str, ...], float] = {(c.audio, c.video, c.loss): c.auc for c in cells}
    differences = np.array(
        [found[*pair, a] - found[*pair, b] for *pair, loss in found if loss == a and (*pair, b) in found]
    )
    means = [drawn @ differences / drawn.sum(1) for drawn in resamples(len(differences), bootstrap, seed)]
    return {
        "difference": float(differences.mean()),
        "ci": interval(means),
        "better_in": int((differences > 0).sum()),
        "pairs": len(differences),
    }


# --- docs/leaderboard.md --------------------------------------------------------------------------------


def markdown(found: dict[str, Any], about: str) -> str:
    """The tables. about: a sentence on how they were made."""
    rows, leaders = found["rows"], found["leaders"]
    no_better = sum(not row["above_chance"] for row in rows)
    lines = [
        "# The grid: every pair of encoders under every loss",
        "",
        f"Written by `make grid`. {about}",
        "",
        f"Numbers are of the {rows[0]['n']} balanced pairs of the test split, with 95% intervals (bootstrap"
        " over videos). AUC says how often a pair that belongs together scores above one that does not: 0.5"
        f" is guessing, and {no_better or 'none'} of the {len(rows)} {'is' if no_better == 1 else 'are'} not"
        " above it by more than the interval.",
    ]
    if leaders:
        lines += [
            "",
            f"## The leading {len(leaders)}",
            "",
            f"Chosen by validation, each trained with {len(leaders[0]['auc_seeds'])} seeds; means over seeds,"
            " and each seed's AUC. ≈ is within noise of the first.",
            "",
            "| sound | picture | loss | accuracy | AUC | seeds | behind the first | |",
            "| --- | --- | --- | ---: | ---: | --- | ---: | --- |",
        ]
        lines += [
            f"| {_pair(r)} | {_told(r, 'accuracy')} | {_told(r, 'auc')} |"
            f" {', '.join(f'{x:.3f}' for x in r['auc_seeds'])} | {_behind(r, i)} | {_mark(r, i)} |"
            for i, r in enumerate(leaders)
        ]
    lines += [
        "",
        "## Losses",
        "",
        "Means over all pairs of encoders:",
        "",
        "| loss | pairs | accuracy | AUC |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| `{r['loss']}` | {r['pairs']} | {r['accuracy']:.3f} | {r['auc']:.3f} |"
            for r in sorted(found["losses"], key=lambda r: -r["auc"])
        ),
        "",
        "By how much AUC the loss of the line is better than that of the column, on the same encoders, with"
        " the 95% interval over pairs of encoders and in how many of them it is better. Bold: not zero.",
        "",
        "| | " + " | ".join(f"`{r['loss']}`" for r in found["losses"]) + " |",
        "| --- |" + " --- |" * len(found["losses"]),
    ]
    for a, others in found["against"].items():
        cells = [_difference(others[r["loss"]]) if r["loss"] != a else "" for r in found["losses"]]
        lines.append(f"| `{a}` | " + " | ".join(cells) + " |")
    if "multi" in found["against"]:
        lines += ["", _verdict(found["against"]["multi"])]
    lines += [
        "",
        "## All",
        "",
        "≈ is within noise of the first: the interval of what it is behind reaches 0 (all judge the same"
        " pairs, and both AUCs are of the same resamples). nDCG@30 is of sound to picture and back.",
        "",
        "| sound | picture | loss | accuracy | AUC | nDCG@30 | behind the first | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {_pair(r)} | {_told(r, 'accuracy')} | {_told(r, 'auc')} |"
        f" {r.get('audio_to_video', np.nan):.3f}, {r.get('video_to_audio', np.nan):.3f} |"
        f" {_behind(r, i)} | {_mark(r, i)} |"
        for i, r in enumerate(rows)
    ]
    return "\n".join(lines) + "\n"


def _verdict(against: dict[str, dict]) -> str:
    """Whether VideoSound-Matching's own loss is the best, as its authors found for one pair of encoders."""
    told = []
    for other in ("bce", "cosine", *sorted(against.keys() - {"bce", "cosine"})):
        if d := against.get(other):
            low, high = d["ci"]
            how = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
            told.append(f"{how} `{other}` ({d['difference']:+.3f}, {d['better_in']} of {d['pairs']} pairs)")
    return f"`multi`, which VideoSound-Matching proposes, is {', '.join(told)}."


def _pair(row: dict) -> str:
    return f"`{row['audio']}` | `{row['video']}` | `{row['loss']}`"


def _told(row: dict, key: str) -> str:
    low, high = row[f"{key}_ci"]
    return f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"


def _behind(row: dict, place: int) -> str:
    low, high = row["behind_ci"]
    return f"{row['behind']:.3f} [{low:.3f}, {high:.3f}]" if place else ""


def _mark(row: dict, place: int) -> str:
    if not row["above_chance"]:
        return "not above chance"
    return "best" if not place else "≈" if row["near"] else ""


def _difference(d: dict) -> str:
    text = f"{d['difference']:+.3f} [{d['ci'][0]:+.3f}, {d['ci'][1]:+.3f}]"
    sure = d["ci"][0] > 0 or d["ci"][1] < 0
    return f"{'**' if sure else ''}{text}{'**' if sure else ''}, {d['better_in']} of {d['pairs']}"


# --- the page -------------------------------------------------------------------------------------------


def write_page(found: dict[str, Any], cells: list[Cell], leaders: list[Cell], path: str | Path) -> Path:
    """Heat maps of pairs, a loss each, and curves of several trainings over each other."""
    values = [row["auc"] for row in found["rows"]]
    low, high = min(0.5, *values), max(values)
    by = {row["name"]: row for row in found["rows"]}
    audio, video = (list(dict.fromkeys(getattr(c, kind) for c in cells)) for kind in ("audio", "video"))
    maps = []
    for loss in dict.fromkeys(c.loss for c in cells):
        lines = []
        for a in audio:
            rows = [by.get(f"{a}-{v}-{loss}") for v in video]
            lines.append((a, [r and r | {"heat": _heat(r["auc"], low, high)} for r in rows]))
        maps.append({"loss": loss, "lines": lines})
    return page.write(
        path,
        TEMPLATE,
        found=found,
        maps=maps,
        video=video,
        low=low,
        high=high,
        curves=_curves(cells, leaders),
    )


def _heat(value: float, low: float, high: float) -> int:
    """Percent of the way from the least to the largest."""
    return round(100 * (value - low) / max(high - low, 1e-9))


def _curves(cells: list[Cell], leaders: list[Cell]) -> list[dict]:
    """Validation over epochs: the leaders, and the mean of each loss over all its pairs."""
    groups = {
        "The leading pairs": {c.name: [c] for c in leaders},
        "Losses, the mean of all their pairs": {
            loss: [c for c in cells if c.loss == loss] for loss in dict.fromkeys(c.loss for c in cells)
        },
    }
    found = []
    for (title, series), key in product(groups.items(), ("val/auc", "val/accuracy")):
        lines = {
            name: [
                (float(rows[0]["epoch"]), float(np.mean([float(r[key]) for r in rows])))
                for rows in zip(*(c.history for c in members), strict=False)
                if all(key in r for r in rows)
            ]
            for name, members in series.items()
        }
        what = "AUC" if key == "val/auc" else "accuracy"
        svg = charts.lines(lines, f"{title}: validation {what} by epoch", "epoch", f"validation {what}")
        if svg:
            found.append({"name": f"{title}: {what}", "legend": list(lines), "svg": svg})
    return found
