"""VGGSounder: which of VGGSound's 309 classes are heard in a clip, which are seen, and which are both?

A part compares what a model says of one input with the labels of one kind:

- `audio_visual`: sound and picture, with the labels that are both audible and visible;
- `audible`, `visible`: the sound alone (the picture alone), with all labels that are audible (visible);
- `only_audible`, `only_visible`: the same input, with the labels that are audible (visible) and not both.

A part has the clips with such a label. The k most probable classes are the prediction, for k of 1, 3, 5, 10:
`f1_k` over all clips and classes together, `f1_macro_k` the mean over all classes, `accuracy_k` the fraction
of clips with exactly the right classes, `hit_rate_k` of clips with a right one. `auc_roc` and `map` (which
the package calls auc_pr) are means over the classes that the part has. `confusion` has `mu_audio`,
`mu_video` and `mu_both`: the fraction of clips for which sound (picture, each of both) alone gives a right
class first, and sound and picture together do not. A blind guess has none, which tells nothing.

Precision and recall over all clips follow: with T labels and n clips, right answers are f1_k (n k + T) / 2.

Source: Zverev et al., VGGSounder, ICCV 2025 (arXiv 2508.08237); Python package vggsounder, benchmark.py.
"""

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from pipeline.metrics.bootstrap import round_finite, summarize, summarize_means
from pipeline.metrics.protocols._base import (
    KEY,
    PROBABILITIES,
    VGGSOUND_NAME,
    Listing,
    Options,
    Probabilities,
    Protocol,
    Subset,
)
from pipeline.store import list_files

COLUMNS = ["video_id", "label", "modality", "background_music", "static_image", "voice_over"]
KS = (1, 3, 5, 10)
PARTS = {  # part -> (input, modalities of its labels)
    "audio_visual": ("both", ("AV",)),
    "audible": ("audio", ("A", "AV")),
    "visible": ("video", ("V", "AV")),
    "only_audible": ("audio", ("A",)),
    "only_visible": ("video", ("V",)),
}
RANKING_RESAMPLES = 200  # at most, for the intervals of `map` and `auc_roc`, which are slow
Metrics = dict[str, np.ndarray]  # metric -> its value in each resample, (b,)


class Vggsounder(Protocol):
    """truth: of each clip, its labels, each with A (audible), V (visible) or AV (both)."""

    needs = PROBABILITIES
    lists = ("vggsounder.csv", "vggsounder+background-music.csv")
    data = "VGGSounder, 12,014 test clips of VGGSound"
    measures = "F1, hit rate, accuracy of the first 1, 3, 5, 10 classes; mAP, AUC; by what is heard and seen"
    blind_guess = "always the most frequent classes"
    source = "VGGSounder, arXiv 2508.08237; Python package vggsounder"

    def read(self, path: str) -> Listing:
        """Read the labels of each clip."""
        truth: dict[str, list[tuple[str, str]]] = {}
        problems = []
        rows = list_files.read_rows(path, path, KEY)
        if next(rows, (0, []))[1] != COLUMNS:
            problems.append(f"its columns should be {', '.join(COLUMNS)}")
        for line, fields in rows:
            if (
                len(fields) != len(COLUMNS)
                or not VGGSOUND_NAME.fullmatch(fields[0])
                or fields[2] not in ("A", "V", "AV")
            ):
                problems.append(f"line {line}: not a clip, a label and A, V or AV: {','.join(fields)[:60]}")
                continue
            truth.setdefault(fields[0], []).append((fields[1], fields[2]))
        list_files.raise_problems(path, KEY, problems)
        return Listing(truth, extra=sorted({label for labels in truth.values() for label, _ in labels}))

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether a clip has labels."""
        return bool(row["labels"])

    def own_truth(self, row: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the labels of a clip; without the column `modality`, each is both heard and seen."""
        labels = row["labels"] or []
        return list(zip(labels, row.get("modality") or ["AV"] * len(labels), strict=False))

    def evaluate(self, outputs: Probabilities, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute the metrics of each part for which the model has the input."""
        listed = subset.extra or {label for labels in subset.truth for label, _ in labels}
        classes = sorted({*listed, *outputs.classes})
        columns = {name: column for column, name in enumerate(classes)}
        scores = {}  # (n, classes); a class that the model does not have comes last
        for name, p in outputs.by_input.items():
            scores[name] = np.full((len(p), len(classes)), -1.0)
            scores[name][:, [columns[label] for label in outputs.classes]] = p
        has_modality = np.zeros((2, len(subset.truth), len(classes)), bool)  # heard, seen
        for clip, labels in enumerate(subset.truth):
            for label, modality in labels:
                has_modality[:, clip, columns[label]] |= ["A" in modality, "V" in modality]
        result: dict[str, Any] = {"n": len(subset.truth), "classes": len(classes)}
        for part, (name, modalities) in PARTS.items():
            targets = np.zeros(has_modality.shape[1:], bool)
            for modality in modalities:
                targets |= (has_modality == np.array(["A" in modality, "V" in modality])[:, None, None]).all(
                    0
                )
            rows = np.flatnonzero(targets.any(1))
            if name in scores and len(rows):
                groups = [subset.groups[row] for row in rows]
                result[part] = _evaluate_part(scores[name][rows], targets[rows], groups, options)
        if len(scores) == 3:
            targets = np.logical_or(*has_modality)  # all labels
            result["confusion"] = _confusion(scores, targets, subset.groups, options)
        return result


def _evaluate_part(scores: np.ndarray, targets: np.ndarray, groups: list, options: Options) -> dict[str, Any]:
    """Return the metrics of a part, (n, classes) scores and targets, with intervals and a blind guess."""
    blind_scores = np.broadcast_to(targets.mean(0), targets.shape)
    n, n_ranking = len(targets), min(options.bootstrap, RANKING_RESAMPLES)
    ones = np.ones((1, n))
    chance = {**_top_metrics(blind_scores, targets)(ones), **_ranking_metrics(blind_scores, targets, ones)}
    compute_top, compute_ranking = _top_metrics(scores, targets), partial(_ranking_metrics, scores, targets)
    top = summarize(compute_top, n, groups, options.bootstrap, options.seed, width=max(targets.shape))
    ranking = summarize(compute_ranking, n, groups, n_ranking, options.seed)
    return {
        **top,
        **ranking,
        "n_labels": int(targets.sum()),
        "ci": top["ci"] | ranking["ci"],
        "chance": {metric: round_finite(value) for metric, [value] in chance.items()},
    }


def _top_metrics(scores: np.ndarray, targets: np.ndarray) -> Any:
    """Return a function from weights (b, n) to the metrics of the first k classes."""
    order = np.argsort(-scores, axis=1, kind="stable")
    labels = sp.csr_matrix(targets.astype(float))
    predictions, hits, is_exact = {}, {}, {}  # by k; few of (n, classes) are not 0
    for k in KS:
        top = np.zeros(targets.shape, bool)
        np.put_along_axis(top, order[:, :k], True, axis=1)
        predictions[k], hits[k] = (sp.csr_matrix(x.astype(float)) for x in (top, top & targets))
        is_exact[k] = (top == targets).all(1)

    def compute(weights: np.ndarray) -> Metrics:
        total, n_labels = weights.sum(1), weights @ labels  # (b,), (b, classes)
        metrics = {}
        for k in KS:
            correct, both = weights @ hits[k], weights @ predictions[k] + n_labels
            metrics[f"f1_{k}"] = 2 * correct.sum(1) / both.sum(1)
            metrics[f"f1_macro_{k}"] = (2 * correct / np.where(both > 0, both, 1)).mean(1)
            metrics[f"accuracy_{k}"] = weights @ is_exact[k] / total
            metrics[f"hit_rate_{k}"] = weights @ (np.asarray(hits[k].sum(1)).ravel() > 0) / total
        return metrics

    return compute


def _ranking_metrics(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Metrics:
    """Return average precision and area under the ROC curve, means over the classes of the clips, (b,)."""
    sums = {"map": np.zeros(len(weights)), "auc_roc": np.zeros(len(weights))}
    counts = {metric: np.zeros(len(weights)) for metric in sums}
    for column in np.flatnonzero(targets.any(0)):
        order = np.argsort(-scores[:, column], kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order, column]) != 0, True))
        ordered, is_relevant = weights[:, order], targets[order, column]
        hits = np.cumsum(ordered * is_relevant, axis=1)[:, ends]  # (b, thresholds)
        falls = np.cumsum(ordered * ~is_relevant, axis=1)[:, ends]
        gains, drops = np.diff(hits, axis=1, prepend=0), np.diff(falls, axis=1, prepend=0)
        n_hits, n_falls = hits[:, -1], falls[:, -1]
        precision = hits / np.maximum(hits + falls, 1e-12)
        area = (drops * (hits - gains / 2)).sum(1)
        for metric, value, size in (
            ("map", (gains * precision).sum(1), n_hits),
            ("auc_roc", area, n_hits * n_falls),
        ):
            sums[metric] += np.where(size > 0, value / np.where(size > 0, size, 1), 0)
            counts[metric] += size > 0
    return {metric: sums[metric] / np.where(counts[metric] > 0, counts[metric], np.nan) for metric in sums}


def _confusion(scores: dict[str, np.ndarray], targets: np.ndarray, groups: list, options: Options) -> dict:
    """Return how often one modality alone is right and both together are wrong (the package's mu)."""
    rows = np.arange(len(targets))
    is_hit = {name: targets[rows, s.argmax(1)] for name, s in scores.items()}
    confused = {f"mu_{name}": is_hit[name] & ~is_hit["both"] for name in ("audio", "video")}
    confused["mu_both"] = confused["mu_audio"] & confused["mu_video"]
    return summarize_means(confused, groups, options.bootstrap, options.seed)


PROTOCOL = Vggsounder()
