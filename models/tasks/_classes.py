"""The clips that a classifier learns from, and their classes."""

from typing import Any

import numpy as np

from models.tasks._plan import Plan, describe_counts
from models.tasks._verification import Trials
from pipeline.dataset import pairing
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError


def plan_classification(experiment: Any, data: Dataset) -> Plan:
    """Choose the clips and targets of a classifier. The classes are the labels of the training split.

    A clip without a label is left out and, unless `multilabel`, one with several. So are validation and test
    clips whose classes are not in the training split. If that holds for the whole test split and the label is
    the subject, the model cannot be tested by its classes. It is tested by verification instead: do two
    recordings show the same person? Validation then measures verification, too.
    Raises UserError if there are too few clips or classes, or if nothing could be tested.
    """
    settings = experiment.classification
    labels = data.class_names(experiment.label)
    clips = _labelled_clips(data, labels, settings["multilabel"])
    if settings["labels"] < 1:
        clips["train"] = _draw_labelled(clips["train"], labels, settings["labels"], experiment.seed)
    classes = sorted({name for clip in clips["train"] for name in labels[clip]})
    if len(classes) < 2 or len(clips["train"]) < 2:
        raise UserError(
            f"label: {experiment.label}: {describe_counts(clips)}, {len(classes)} classes; at least 2 classes"
            " in training are needed: add labels, or choose another label"
        )
    targets = _encode_targets(labels, classes)
    trials = None
    if not targets[clips["test"]].any():
        trials = _validation_trials(experiment, data, clips)
        clips["test"] = clips["test"][:0]
    for split in ("val", "test"):
        if split == "test" or not trials:  # verification needs no classes of the training split
            clips[split] = _clips_of_training_classes(clips[split], targets, split)
    class_set = set(classes)
    training_labels = [[name for name in names if name in class_set] for names in labels]
    relation = pairing.Relation(data.group, training_labels)

    def make_sampler(
        clips: np.ndarray, batch_size: int, seed: int, **options: Any
    ) -> pairing.UnpairedSampler:
        return pairing.UnpairedSampler(clips, relation, batch_size, seed, **options)

    weights = None
    if settings["class_weights"]:
        weights = _class_weights(targets[clips["train"]], settings["multilabel"])
    return Plan(clips, make_sampler, targets, {"classes": classes, "weights": weights}, trials)


def _labelled_clips(data: Dataset, labels: list[list[str]], multilabel: bool) -> dict[str, np.ndarray]:
    """Return split -> indices of its clips with exactly one label or, if `multilabel`, with at least one.

    labels: of each clip of the data set. Prints how many clips are left out.
    """
    is_usable = np.array([bool(names) if multilabel else len(names) == 1 for names in labels])
    if not is_usable.all():
        unlabelled = sum(not names for names in labels)
        several = sum(len(names) > 1 for names in labels)
        print(
            f"classification: {(~is_usable).sum()} of {len(labels)} clips are left out: {unlabelled} have no"
            f" label, {several} several (classification.multilabel: true takes those)"
        )
    split_clips = {split: data.indices(split) for split in ("train", "val", "test")}
    return {split: clips[is_usable[clips]] for split, clips in split_clips.items()}


def _encode_targets(labels: list[list[str]], classes: list[str]) -> np.ndarray:
    """Return (clips, classes) uint8: 1 for each class of a clip, else 0. Other labels are ignored.

    labels: of each clip of the data set. classes: names, in the order of the columns.
    """
    class_indices = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), np.uint8)
    for clip, names in enumerate(labels):
        targets[clip, [class_indices[name] for name in names if name in class_indices]] = 1
    return targets


def _clips_of_training_classes(clips: np.ndarray, targets: np.ndarray, split: str) -> np.ndarray:
    """Return those of `clips` that have a class of the training split. Print how many have none.

    clips: indices in the data set. targets: (clips of the data set, classes). split: its name, to print.
    """
    has_class = targets[clips].any(1)
    if not has_class.all():
        print(
            f"classification: {(~has_class).sum()} of {len(clips)} {split} clips are of classes that training"
            " has no clip of, and are left out"
        )
    return clips[has_class]


def _validation_trials(experiment: Any, data: Dataset, clips: dict[str, np.ndarray]) -> Trials | None:
    """Draw the trials of validation, pairs of recordings of the same or of different people.

    Called if the training split has no class of the test split. clips: split -> indices in the data set.
    Returns None if the validation split has too few people or recordings for trials. Raises UserError if the
    test split has too few, or if the label is not the subject: then nothing could be tested.
    """
    test_count = len(clips["test"])
    if experiment.label != "subject":
        raise UserError(
            f"label: {experiment.label}: none of {test_count} test clips is of a class that training has a"
            " clip of, and nothing could be tested: see split.by and split.seed, or choose another label"
        )
    if not Trials.draw(data, clips["test"], experiment.seed):
        people = {data.subject[clip] for clip in clips["test"]}
        raise UserError(
            f"label: subject: {test_count} test clips of {len(people)} people who are not in the training"
            " split: verification needs at least 2 people, one of them in 2 recordings: change split.seed or"
            " enlarge split.test"
        )
    print("classification: training has no clip of the people of the test split: they are verified instead")
    return Trials.draw(data, clips["val"], experiment.seed)


def _draw_labelled(clips: np.ndarray, labels: list[list[str]], fraction: float, seed: int) -> np.ndarray:
    """Draw a fraction of `clips` at random, but at least one clip of each class. Returns them in ascending
    order.

    clips: indices in the data set. labels: of each clip of the data set.
    """
    order = np.random.default_rng(seed).permutation(clips)
    first_of_class: dict[str, int] = {}
    for clip in order:
        for name in labels[clip]:
            if name not in first_of_class:
                first_of_class[name] = int(clip)
    needed = list(dict.fromkeys(first_of_class.values()))  # without duplicates, in the drawn order
    rest = order[~np.isin(order, needed)]
    count = max(round(fraction * len(clips)), len(needed))
    return np.sort(np.concatenate([needed, rest[: count - len(needed)]]).astype(int))


def _class_weights(targets: np.ndarray, multilabel: bool) -> list[float]:
    """Compute a weight for each class, which is larger for rarer classes.

    targets: (n, classes), 1 for each class of a training clip. With one label for each clip, the weight of a
    class with k clips is n / (classes * k), as scikit-learn's `balanced`. If `multilabel`, it is (n - k) / k,
    the weight of a clip that has the class relative to one that does not.
    """
    clip_count, class_count = targets.shape
    clips_of_class = targets.sum(0, dtype=int).clip(min=1)
    if multilabel:
        weights = (clip_count - clips_of_class) / clips_of_class
    else:
        weights = clip_count / (class_count * clips_of_class)
    return [float(weight) for weight in weights]
