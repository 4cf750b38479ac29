"""Folds of a cross-validation: each group of clips (a video, or a person) is tested in exactly one fold."""

import hashlib

import numpy as np

from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS

ALL = "all"  # as many folds as groups: leave one out


def count_folds(folds: int | str, n_groups: int, noun: str = "groups") -> int:
    """Return the number of folds. folds: the parameter split.folds, a number or `all`. noun: of the groups.

    Raises UserError if there are too few groups: each fold needs one to test, one to choose the epoch and one
    to train.
    """
    count = n_groups if folds == ALL else int(folds)
    if count > n_groups or n_groups < 3:
        least = f"at most {n_groups} folds, or all" if n_groups > 2 else "at least 3 are needed"
        raise UserError(f"split.folds: {folds}: there are {n_groups} {noun} with usable clips: {least}")
    return count


def assign_fold(
    names: list[str], folds: int | str, fold: int, val: float, seed: int, noun: str
) -> np.ndarray:
    """Return the split of each group in one fold, as an index into SPLITS, (n,).

    Groups are dealt to the folds in the order of a hash of their names and the seed, so that all folds have
    the same number of groups, or one more. Of the groups that are not tested, the share `val`, at least one,
    chooses the epoch: those of the following folds first, so that it is not always the same ones.
    names: of the groups, all different. fold: which one is tested, from 0.
    Raises UserError if there are too few groups, or no such fold.
    """
    count = count_folds(folds, len(names), noun)
    if fold >= count:
        raise UserError(f"split.fold: {fold}: there are {count} folds: choose one from 0 to {count - 1}")
    hashes = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names]
    rank = np.empty(len(names), int)  # of each group, in the order of the hashes
    rank[sorted(range(len(names)), key=lambda i: hashes[i])] = np.arange(len(names))
    distance = (rank % count - fold) % count  # from the tested fold to that of the group
    n_val = max(1, round(val * np.count_nonzero(distance)))
    rest = [i for i in np.lexsort((rank, distance)) if distance[i]]
    splits = np.full(len(names), SPLITS.index("train"))
    splits[distance == 0] = SPLITS.index("test")
    splits[rest[:n_val]] = SPLITS.index("val")
    return splits
