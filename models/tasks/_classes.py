"""Which clips a classifier learns from, and which class each is."""

from typing import Any

import numpy as np

from models.tasks._plan import Plan, describe_counts
from models.tasks._verification import Trials
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


def plan(experiment: Any, data: Dataset) -> Plan:
    """Choose the clips of a classifier. Classes are those of training; clips of no class, or where one is
    wanted of several, are left out.

    Where the label is the subject and training knows no person of the test split (split.by: subject),
    people are verified, and validation chooses by that too.
    Raises UserError where there are too few clips or classes, and where nothing could be tested.
    """
    settings, kinds = experiment.classification, data.kinds(experiment.label)
    fits = np.array([bool(names) if settings["multilabel"] else len(names) == 1 for names in kinds])
    if not fits.all():
        none, several = sum(not k for k in kinds), sum(len(k) > 1 for k in kinds)
        print(
            f"classification: {(~fits).sum()} of {len(fits)} clips are left out: {none} have no label,"
            f" {several} several (classification.multilabel: true takes those)"
        )
    clips = {split: data.of(split) for split in ("train", "val", "test")}
    clips = {split: rows[fits[rows]] for split, rows in clips.items()}
    if settings["labels"] < 1:
        clips["train"] = _drawn(clips["train"], kinds, settings["labels"], experiment.seed)
    classes = sorted({name for i in clips["train"] for name in kinds[i]})
    number = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(data), len(classes)), np.uint8)
    for i, names in enumerate(kinds):
        targets[i, [number[name] for name in names if name in number]] = 1
    if len(classes) < 2 or len(clips["train"]) < 2:
        raise UserError(
            f"label: {experiment.label}: {describe_counts(clips)}, {len(classes)} classes; at least 2 classes in"
            " training are needed: name the labels, or choose another label"
        )
    unknown = {split: ~targets[clips[split]].any(1) for split in ("val", "test")}
    trials = None
    if unknown["test"].all():
        trials = _validation_trials(experiment, data, clips)
        clips["test"] = clips["test"][:0]
        unknown = {} if trials else {"val": unknown["val"]}
    for split, mask in unknown.items():
        if mask.any():
            print(
                f"classification: {mask.sum()} of {len(mask)} {split} clips are of classes that training"
                " has no clip of, and are left out"
            )
            clips[split] = clips[split][~mask]
    related = pairing.Relation(data.group, [[n for n in names if n in number] for names in kinds])

    def sampler(rows: np.ndarray, batch_size: int, seed: int, **how: Any) -> pairing.Singles:
        return pairing.Singles(rows, related, batch_size, seed, **how)

    weights = _weights(targets[clips["train"]], settings["multilabel"])
    about = {"classes": classes, "weights": weights if settings["class_weights"] else None}
    return Plan(clips, sampler, targets, about, trials)


def _validation_trials(experiment: Any, data: Dataset, clips: dict[str, np.ndarray]) -> Trials | None:
    """Make the trials of validation where training has no clip of any person of the test split.

    Returns None where validation has too few people or recordings for trials. Raises UserError where the test
    split has too few, and where the label is not the subject: nothing could be tested.
    """
    count = len(clips["test"])
    if experiment.label != "subject":
        raise UserError(
            f"label: {experiment.label}: none of {count} test clips is of a class that training has a clip"
            " of, and nothing could be tested: see split.by and split.seed, or choose another label"
        )
    if not Trials.draw(data, clips["test"], experiment.seed):
        people = {data.subject[i] for i in clips["test"]}
        raise UserError(
            f"label: subject: {count} test clips of {len(people)} people whom training does not know: to"
            " verify them, at least 2 people are needed, one of them in 2 recordings: another split.seed"
            " draws others, a larger split.test more"
        )
    print("classification: training has no clip of a person of the test split: people are verified")
    return Trials.draw(data, clips["val"], experiment.seed)


def _drawn(clips: np.ndarray, kinds: list[list[str]], share: float, seed: int) -> np.ndarray:
    """A share of the clips, by chance, in their order; each class has at least one among them."""
    order = np.random.default_rng(seed).permutation(clips)
    first: dict[str, int] = {}
    for clip in order:
        for name in kinds[clip]:
            first.setdefault(name, int(clip))
    needed = list(dict.fromkeys(first.values()))
    rest = order[~np.isin(order, needed)]
    count = max(round(share * len(clips)), len(needed))
    return np.sort(np.concatenate([needed, rest[: count - len(needed)]]).astype(int))


def _weights(targets: np.ndarray, many: bool) -> list[float]:
    """What each class counts: n / (classes * its clips), as scikit-learn's `balanced`; with many labels how
    much more a clip of it does than one that is not, (n - its clips) / its clips."""
    n, count = len(targets), targets.sum(0, dtype=int).clip(min=1)
    return [float(w) for w in ((n - count) / count if many else n / (len(count) * count))]
