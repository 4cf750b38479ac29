"""The tables of small data: each arm at each number of clips, and what frozen networks gain in words."""

from typing import Any

from pipeline.metrics.over_seeds import cell

ALL = "all"  # the size after all numbers of clips
METRICS = {"accuracy": "accuracy", "auc": "AUC", "ndcg_30": "nDCG@30, sound to picture"}  # -> its column
SECONDS = {"training_seconds": "training, s", "towers_seconds": "towers once, s"}


def markdown(metrics: dict[str, Any]) -> str:
    """Return the generated part of README.md. metrics: the content of metrics.json."""
    n_seeds = max(len(seeds_of(arms)) for arms in metrics["results"].values())
    lines = [
        "A pair matches if sound and picture have the same label. Accuracy and AUC are of correspondence on"
        f" balanced test pairs, chance .5. Cells hold the mean over {n_seeds} seeds, its 95% interval"
        " (bootstrap over test clips) and the value of each seed; each seed chooses other clips. Seconds are"
        " of one processor core: for the training, and for the networks to see or hear the clips of training"
        " and validation, once.",
    ]
    for name, arms in metrics["results"].items():
        about = metrics["about"][name]
        correspondence, retrieval = (arms[first_arm(arms)][ALL][metric] for metric in ("auc", "ndcg_30"))
        lines += [
            "",
            f"### {name}",
            "",
            f"{about['classes']} classes; {about['train']} clips for training ({about['per_class']} of a"
            f" class), {about['val']} for validation, {about['test']} for the test:"
            f" {correspondence['n']} pairs, {retrieval['n']} queries. Chance of nDCG@30:"
            f" {retrieval['chance']:.3f}.",
            "",
            "| clips of a class | | " + " | ".join([*METRICS.values(), *SECONDS.values()]) + " |",
            "| --- |" + " --- |" * (1 + len(METRICS) + len(SECONDS)),
        ]
        for size in sizes_of(arms):
            for arm, results in arms.items():
                cells = [cell(results[size][metric], metric) for metric in METRICS]
                cells += [f"{results[size][key]['seconds']:.0f}" for key in SECONDS]
                lines.append(f"| {describe_size(size, about)} | {arm} | {' | '.join(cells)} |")
    lines += ["", "### In words", ""]
    for name, arms in metrics["results"].items():
        lines += [f"- {name}, {_describe(size, arms, metrics['about'][name])}" for size in sizes_of(arms)]
    return "\n".join(lines) + "\n"


def sizes_of(arms: dict[str, Any]) -> list[str]:
    """Return the sizes of a data set, in order, "all" last. arms: its results."""
    return list(arms[first_arm(arms)])


def seeds_of(arms: dict[str, Any]) -> list[float]:
    """Return the accuracy of each seed of an arm. arms: the results of a data set."""
    return arms[first_arm(arms)][ALL]["accuracy"]["seeds"]


def first_arm(arms: dict[str, Any]) -> str:
    """Return the name of the arm from scratch, with which the others are compared."""
    return next(iter(arms))


def describe_size(size: str, about: dict[str, Any]) -> str:
    """Return the text for a number of clips of a class. about: of the data set."""
    return f"all ({about['per_class']})" if size == ALL else size


def describe_best(arms: dict[str, Any]) -> str:
    """Return the arm with the best accuracy with all clips, and this accuracy."""
    accuracies = {arm: results[ALL]["accuracy"]["accuracy"] for arm, results in arms.items()}
    best = max(accuracies, key=lambda arm: accuracies[arm])
    return f"{best} {accuracies[best]:.3f}"


def _describe(size: str, arms: dict[str, Any], about: dict[str, Any]) -> str:
    """Say in words what each arm gains over the first one with a number of clips."""
    scratch = arms[first_arm(arms)][size]
    gains = [
        f"{arm} {', '.join(_compare(metric, scratch, results[size]) for metric in METRICS)}"
        for arm, results in arms.items()
        if arm != first_arm(arms)
    ]
    return f"{describe_size(size, about)} clips of a class, over {first_arm(arms)}: {'; '.join(gains)}."


def _compare(metric: str, scratch: dict[str, Any], result: dict[str, Any]) -> str:
    """Say what the difference of a metric is, and whether the intervals overlap."""
    difference = result[metric][metric] - scratch[metric][metric]
    (low, high), (scratch_low, scratch_high) = (x[metric]["ci"][metric] for x in (result, scratch))
    is_noise = low <= scratch_high and scratch_low <= high
    text = f"{METRICS[metric].partition(',')[0]} {difference:+.3f}".replace("0.", ".")
    return f"{text} (intervals overlap)" if is_noise else text
