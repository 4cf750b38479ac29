"""Sampling of batches and pairs: one sampler for every loss.

A batch is B clips and a window of each, at one random position shared by all: its sound, and the frames
around its middle. (With a position per clip, the sound and the picture of a matching pair would share a
position and those of other pairs would not, and a model could learn that instead.) All pairs are formed
inside the batch: `positive[i]` is a sound that matches picture i, `negative[i]` one that does not. Both are
permutations, so that each sound and each picture occurs once in a matching and once in a non-matching pair:
no property of a sound or a picture alone (its offset, loudness, class) tells matching pairs from others.
This is AVE-Net's guard against shortcuts (arXiv 1712.06651, section 2: negatives are cut as positives are).

- `clip`: the matching sound is that of the same window; clips of other groups (videos, people) do not match.
- `category`: clips match if they share a label.

Both sides may be of one modality (siamese: sound with sound, picture with picture); a clip then does not
match itself.

Epoch e of a sampler with seed s is always the same, in every process and with any number of workers.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.errors import UserError

NONE = -1


@dataclass(frozen=True)
class Batch:
    """B clips, their windows, and their pairs."""

    clip: np.ndarray  # (B,) indices into the data set
    position: np.ndarray  # (B,) float, 0 to 1: of the window in its clip, one value for the whole batch
    positive: np.ndarray  # (B,) index in the batch of a sound that matches picture i, or NONE
    negative: np.ndarray  # (B,) index in the batch of a sound that does not match picture i, or NONE
    related: np.ndarray  # (B, B) bool: these two clips are never each other's negatives
    seed: tuple[int, ...]  # for augmentation


class Relation:
    """Decide which clips match: those of the same group, or those with a label in common."""

    def __init__(
        self, groups: np.ndarray, labels: list[list[str]] | None = None, siamese: bool = False
    ) -> None:
        """Number the classes of all clips.

        groups: (n,) any hashable. labels: of each clip, for `category`; None for `clip`. siamese: both sides
        of a pair are of one modality, so that a clip does not match itself.
        """
        self.by_label, self.siamese = labels is not None, siamese
        class_names = [[g] for g in groups] if labels is None else labels
        number: dict = {}
        width = max((len(names) for names in class_names), default=1)
        # (n, width): class numbers of each clip, padded with NONE
        self.classes = np.full((len(class_names), max(width, 1)), NONE)
        for i, names in enumerate(class_names):
            self.classes[i, : len(names)] = [number.setdefault(name, len(number)) for name in names]
        self.groups = np.unique(np.asarray(groups), return_inverse=True)[1]

    def share_label(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips share a label, or without labels their group.

        a, b: clip indices, broadcast against each other. Returns bool of their common shape.
        """
        x, y = self.classes[a][..., :, None], self.classes[b][..., None, :]
        return ((x == y) & (x != NONE)).any((-2, -1))

    def match(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips may form a matching pair. Arguments and result as in `share_label`."""
        return self.share_label(a, b) & (a != b) if self.siamese else self.share_label(a, b)

    def related(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips cannot be each other's negatives. Arguments and result as in `share_label`.

        Clips of one video are never each other's negatives, whatever their labels.
        """
        return self.share_label(a, b) | (self.groups[a] == self.groups[b])


def build_relation(
    pairing: str, groups: np.ndarray, labels: list[list[str]], siamese: bool = False
) -> Relation:
    """Build the relation for `pairing` of params.yaml. Raises UserError if labels are needed but missing."""
    if pairing == "clip":
        return Relation(groups)
    unlabelled = sum(not names for names in labels)
    class_names = {name for names in labels for name in names}
    if unlabelled or len(class_names) < 2:
        raise UserError(
            f"pairing: category needs labels on all clips, and two different ones; {unlabelled} of"
            f" {len(labels)} clips have none, and there are {len(class_names)} labels: set pairing: clip, or"
            " label the clips"
        )
    return Relation(groups, labels, siamese)


class Sampler:
    """Iterate over the batches of an epoch.

    clips: (n,) indices of the clips to sample from, at least 2. relation: over the whole data set. The
    batches of an epoch differ by at most one clip in size, and none is larger than `batch_size`; each clip
    occurs once. With `class_balanced`, each class occurs equally often instead (a clip with several classes
    counts for its rarest one): clips of rare classes are repeated, and some of frequent classes are
    omitted.

    share: (number, count) of this process in distributed training: each process takes every count-th batch,
    and all processes get the same number of batches. Together these are the epoch.
    """

    def __init__(
        self,
        clips: np.ndarray,
        relation: Relation,
        batch_size: int,
        seed: int,
        class_balanced: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.clips, self.relation, self.seed = np.asarray(clips), relation, seed
        self.class_balanced = class_balanced
        self.number, self.count = share
        # Batches of nearly equal size: a small last batch makes batch norm and losses over the batch
        # unreliable.
        batches = min(math.ceil(len(clips) / (batch_size * self.count)), len(clips) // (2 * self.count))
        self.batches = max(batches, 1)
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng((self.seed, self.epoch))
        clips = self._resample_balanced(rng) if self.class_balanced else self.clips
        order = clips[self._spread_classes(clips, rng)]
        for number, clip in enumerate(np.array_split(order, self.batches * self.count)):
            batch = self._batch(clip, rng, (self.seed, self.epoch, number))
            if number % self.count == self.number:
                yield batch

    def _batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        position = np.full(len(clip), rng.random())
        related = self.relation.related(clip[:, None], clip)
        negative = assign_randomly(related, rng)
        negative[related[np.arange(len(clip)), negative]] = NONE
        positive = np.arange(len(clip))
        if self.relation.by_label:
            mismatch = ~self.relation.match(clip[:, None], clip)
            positive = assign_randomly(mismatch, rng)
            positive[mismatch[np.arange(len(clip)), positive]] = NONE
        return Batch(clip, position, positive, negative, related, seed)

    def _resample_balanced(self, rng: np.random.Generator) -> np.ndarray:
        """Sample n clips; a clip's expected count is proportional to 1 / (clips of its rarest class)."""
        classes = self.relation.classes[self.clips]
        numbers, counts = np.unique(classes[classes != NONE], return_counts=True)
        rarity = np.where(
            classes == NONE, 0, 1 / counts[np.searchsorted(numbers, classes).clip(max=len(numbers) - 1)]
        )
        order = rng.permutation(len(classes))
        share = rarity.max(1)[order].cumsum()
        ends = np.floor(share / share[-1] * len(classes) + rng.random())  # systematic sampling
        return np.repeat(self.clips[order], np.diff(ends, prepend=0).astype(int))

    def _spread_classes(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a random order that spreads the clips of each class evenly: every batch has negatives."""
        first_class = self.relation.classes[clips, 0]
        shuffled = rng.permutation(len(first_class))
        counts = np.bincount(first_class - first_class.min())
        position_in_class = np.zeros_like(counts)
        key = np.empty(len(first_class))
        offset = rng.random(len(counts))
        for i in shuffled:
            k = first_class[i] - first_class.min()
            key[i] = (position_in_class[k] + offset[k]) / counts[k]
            position_in_class[k] += 1
        return np.argsort(key, kind="stable")


class Singles(Sampler):
    """Iterate over batches of clips without pairs, for losses of each clip alone; each window at its own
    random position."""

    def _batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        none = np.full(len(clip), NONE)
        return Batch(clip, rng.random(len(clip)), none, none, np.empty((0, 0), bool), seed)


def assign_randomly(forbidden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random permutation (B,) with as few forbidden entries as possible. forbidden: (B, B) bool."""
    cost = rng.random(forbidden.shape) + forbidden * float(2 * len(forbidden))
    return linear_sum_assignment(cost)[1]


def balanced_pairs(
    clips: np.ndarray, relation: Relation, seed: int, block: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs for reporting, half of them matching.

    Each clip's picture occurs once with a sound that matches it and once with one that does not; clips
    without such a sound are left out. block: pairs are formed inside blocks of so many clips. Returns
    sound, picture (indices into `clips`) and match (bool).
    """
    index = {int(c): i for i, c in enumerate(clips)}
    sound, picture, match = [], [], []
    for batch in Sampler(clips, relation, block, seed):
        batch_index = np.array([index[int(c)] for c in batch.clip])
        keep = (batch.negative != NONE) & (batch.positive != NONE)
        for partner, is_match in ((batch.positive, True), (batch.negative, False)):
            sound.append(batch_index[partner[keep]])
            picture.append(batch_index[keep])
            match.append(np.full(int(keep.sum()), is_match))
    return np.concatenate(sound), np.concatenate(picture), np.concatenate(match)


def validation_pairs(
    clips: np.ndarray, relation: Relation, max_partners: int = 32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs for validation: every clip with itself, and with up to `max_partners` unrelated clips.

    Siamese: instead of itself, the matching clips among those partners. The result is always the same.
    Shifts are spread evenly over the clips: each sound and each picture occurs equally often, except for
    related pairs. Returns sound, picture (indices into `clips`) and target (1 or 0).
    """
    n = len(clips)
    shifts = np.unique(np.linspace(1, max(n - 1, 1), min(max_partners, max(n - 1, 1))).astype(int))
    picture = np.tile(np.arange(n), len(shifts))
    sound = (picture + np.repeat(shifts, n)) % n
    unrelated = ~relation.related(clips[sound], clips[picture])
    positives = [np.arange(n)] * 2
    if relation.siamese:
        match = relation.match(clips[sound], clips[picture])
        positives = [sound[match], picture[match]]
    target = np.concatenate([np.ones(len(positives[0])), np.zeros(int(unrelated.sum()))])
    return (
        np.concatenate([positives[0], sound[unrelated]]),
        np.concatenate([positives[1], picture[unrelated]]),
        target,
    )
