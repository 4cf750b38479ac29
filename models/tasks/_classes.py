"""The clips that a classifier learns from, and their classes."""

from typing import Any

import numpy as np

from models.tasks._plan import Plan, describe_counts
from models.tasks._verification import Trials
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


def plan(experiment: Any, data: Dataset) -> Plan:
    """Choose the clips and targets of a classifier. The classes are the labels of the training split.

    Clips of no class are left out, and those of several unless `multilabel`.
    If the label is the subject and training has no person of the test split (split.by: subject), people are
    verified, and validation measures verification too.
    Raises UserError if there are too few clips or classes, or if nothing could be tested.
    """
    settings, labels = experiment.classification, data.class_names(experiment.label)
    clips = _labelled_clips(data, labels, settings["multilabel"])
    if settings["labels"] < 1:
        clips["train"] = _draw_labelled(clips["train"], labels, settings["labels"], experiment.seed)
    classes = sorted({name for clip in clips["train"] for name in labels[clip]})
    if len(classes) < 2 or len(clips["train"]) < 2:
        raise UserError(
            f"label: {experiment.label}: {describe_counts(clips)}, {len(classes)} classes; at least 2 classes"
            " in training are needed: add labels, or choose another label"
        )
    targets = _targets(labels, classes)
    trials = None
    if not targets[clips["test"]].any():
        trials = _validation_trials(experiment, data, clips)
        clips["test"] = clips["test"][:0]
    for split in ("val", "test"):
        if split == "test" or not trials:  # verification needs no class that training knows
            clips[split] = _clips_of_known_classes(clips[split], targets, split)
    class_set = set(classes)
    relation = pairing.Relation(data.group, [[n for n in names if n in class_set] for names in labels])

    def sampler(rows: np.ndarray, batch_size: int, seed: int, **options: Any) -> pairing.UnpairedSampler:
        return pairing.UnpairedSampler(rows, relation, batch_size, seed, **options)

    weights = _class_weights(targets[clips["train"]], settings["multilabel"])
    entries = {"classes": classes, "weights": weights if settings["class_weights"] else None}
    return Plan(clips, sampler, targets, entries, trials)


def _labelled_clips(data: Dataset, labels: list[list[str]], multilabel: bool) -> dict[str, np.ndarray]:
    """Return the clips of each split with one label or, if `multilabel`, with any. Print how many lack it."""
    is_usable = np.array([bool(names) if multilabel else len(names) == 1 for names in labels])
    if not is_usable.all():
        none, several = sum(not names for names in labels), sum(len(names) > 1 for names in labels)
        print(
            f"classification: {(~is_usable).sum()} of {len(labels)} clips are left out: {none} have no label,"
            f" {several} several (classification.multilabel: true takes those)"
        )
    clips = {split: data.indices(split) for split in ("train", "val", "test")}
    return {split: rows[is_usable[rows]] for split, rows in clips.items()}


def _targets(labels: list[list[str]], classes: list[str]) -> np.ndarray:
    """Return (n, classes) uint8, 1 for each class of a clip. Labels that are no class are ignored."""
    class_numbers = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), np.uint8)
    for i, names in enumerate(labels):
        targets[i, [class_numbers[name] for name in names if name in class_numbers]] = 1
    return targets


def _clips_of_known_classes(clips: np.ndarray, targets: np.ndarray, split: str) -> np.ndarray:
    """Return the clips that have a class of training. Print how many have none."""
    is_known = targets[clips].any(1)
    if not is_known.all():
        print(
            f"classification: {(~is_known).sum()} of {len(clips)} {split} clips are of classes that training"
            " has no clip of, and are left out"
        )
    return clips[is_known]


def _validation_trials(experiment: Any, data: Dataset, clips: dict[str, np.ndarray]) -> Trials | None:
    """Draw the trials of validation, for a test split of which training has no class.

    Returns None if validation has too few people or recordings for trials. Raises UserError if the test split
    has too few, or if the label is not the subject: then nothing could be tested.
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
            f"label: subject: {count} test clips of {len(people)} people who are not in the training"
            " split: verification needs at least 2 people, one of them in 2 recordings: change split.seed or"
            " enlarge split.test"
        )
    print("classification: training has no clip of the people of the test split: they are verified instead")
    return Trials.draw(data, clips["val"], experiment.seed)


def _draw_labelled(clips: np.ndarray, labels: list[list[str]], share: float, seed: int) -> np.ndarray:
    """Draw a share of the clips at random, with at least one of each class; in ascending order."""
    order = np.random.default_rng(seed).permutation(clips)
    first: dict[str, int] = {}
    for clip in order:
        for name in labels[clip]:
            first.setdefault(name, int(clip))
    needed = list(dict.fromkeys(first.values()))
    rest = order[~np.isin(order, needed)]
    count = max(round(share * len(clips)), len(needed))
    return np.sort(np.concatenate([needed, rest[: count - len(needed)]]).astype(int))


def _class_weights(targets: np.ndarray, multilabel: bool) -> list[float]:
    """Compute the weight of each class: n / (classes * its clips), as scikit-learn's `balanced`.

    If `multilabel`, it is the weight of a positive relative to a negative: (n - its clips) / its clips.
    """
    n, count = len(targets), targets.sum(0, dtype=int).clip(min=1)
    return [float(w) for w in ((n - count) / count if multilabel else n / (len(count) * count))]
