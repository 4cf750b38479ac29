"""Which sound goes with which picture: one sampler for every loss.

A batch is B clips, and a window of each, at one random place for all: its sound, and the frames around its
middle. Were each at a place of its own, sound and picture of a match would agree on it and others not. All
pairs are made inside the batch: `right[i]` is the sound that matches picture i, `wrong[i]` one that does
not. Both are permutations, so that each sound is once right and once wrong, and each picture too: no
property of a sound or a picture alone (its offset, loudness, class) can tell a match from a mismatch. This
is AVE-Net's guard against shortcuts (arXiv 1712.06651, section 2: negatives are cut as positives are).

- `clip`: the matching sound is the window's own; clips of other groups (videos, people) do not match.
- `category`: matching clips share a label; clips that share none do not match.

Both sides may be of one modality (siamese: sound with sound, picture with picture); no clip is then its
own match.

Epoch e of a sampler with seed s is always the same, whoever asks and however many workers read it.
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

    clip: np.ndarray  # (B,) numbers in the data set
    at: np.ndarray  # (B,) float, 0 to 1: where the window lies, the same place in all
    right: np.ndarray  # (B,) place in the batch of a sound that matches picture i; or NONE
    wrong: np.ndarray  # (B,) place of one that does not; NONE where the batch has too few
    same: np.ndarray  # (B, B) bool: may not count as each other's negatives
    seed: tuple[int, ...]  # for augmentation


class Relation:
    """Which clips match by their kind: the same group, or a label in common."""

    def __init__(
        self, groups: np.ndarray, labels: list[list[str]] | None = None, siamese: bool = False
    ) -> None:
        """groups: (n,) any hashable. labels: of each clip, for `category`; None for `clip`. siamese: both
        sides are of one modality, so that a clip is no match of its own."""
        self.by_label, self.siamese = labels is not None, siamese
        kinds = [[g] for g in groups] if labels is None else labels
        number: dict = {}
        width = max((len(k) for k in kinds), default=1)
        # (n, width): numbers of each clip's kinds, NONE where it has fewer
        self.kinds = np.full((len(kinds), max(width, 1)), NONE)
        for i, names in enumerate(kinds):
            self.kinds[i, : len(names)] = [number.setdefault(name, len(number)) for name in names]
        self.groups = np.unique(np.asarray(groups), return_inverse=True)[1]

    def alike(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Clip numbers, broadcast against each other, to bool: they share a kind (a label, or the group)."""
        x, y = self.kinds[a][..., :, None], self.kinds[b][..., None, :]
        return ((x == y) & (x != NONE)).any((-2, -1))

    def match(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Clip numbers, broadcast against each other, to bool: they may be shown as a match."""
        return self.alike(a, b) & (a != b) if self.siamese else self.alike(a, b)

    def same(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Clip numbers, broadcast against each other, to bool: they cannot be each other's negatives.

        Clips of one video are none either, whatever their labels say.
        """
        return self.alike(a, b) | (self.groups[a] == self.groups[b])


def relation(pairing: str, groups: np.ndarray, labels: list[list[str]], siamese: bool = False) -> Relation:
    """The relation that `pairing` names. Raises UserError where it needs labels that are not there."""
    if pairing == "clip":
        return Relation(groups)
    without = sum(not names for names in labels)
    kinds = {name for names in labels for name in names}
    if without or len(kinds) < 2:
        raise UserError(
            f"pairing: category needs labels on all clips, and two different ones; {without} of {len(labels)}"
            f" clips have none, and there are {len(kinds)} labels: use pairing: clip, or name the labels"
        )
    return Relation(groups, labels, siamese)


class Sampler:
    """Batches of an epoch.

    clips: (n,) the data set's numbers of the clips to draw from, at least 2. relation: over the data set.
    Batches of an epoch differ by at most one clip in size and none is larger than `batch_size`; each clip
    comes once. With `even` each kind comes equally often instead (of a clip's kinds, its rarest counts):
    clips of rare kinds come several times, and of frequent ones some not at all in an epoch.

    share: (number, count) of the process that asks, where several train together: each takes every count-th
    batch, as many as the others do; all of them together are the epoch.
    """

    def __init__(
        self,
        clips: np.ndarray,
        relation: Relation,
        batch_size: int,
        seed: int,
        even: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.clips, self.relation, self.seed, self.even = np.asarray(clips), relation, seed, even
        self.number, self.count = share
        # Even batches: a small last one would train batch norm and a loss over the batch on next to nothing.
        rounds = min(math.ceil(len(clips) / (batch_size * self.count)), len(clips) // (2 * self.count))
        self.batches = max(rounds, 1)
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng((self.seed, self.epoch))
        clips = self._drawn(rng) if self.even else self.clips
        order = clips[self._spread(clips, rng)]
        for number, clip in enumerate(np.array_split(order, self.batches * self.count)):
            batch = self._batch(clip, rng, (self.seed, self.epoch, number))
            if number % self.count == self.number:
                yield batch

    def _batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        at = np.full(len(clip), rng.random())
        same = self.relation.same(clip[:, None], clip)
        wrong = assignment(same, rng)
        wrong[same[np.arange(len(clip)), wrong]] = NONE
        right = np.arange(len(clip))
        if self.relation.by_label:
            others = ~self.relation.match(clip[:, None], clip)
            right = assignment(others, rng)
            right[others[np.arange(len(clip)), right]] = NONE
        return Batch(clip, at, right, wrong, same, seed)

    def _drawn(self, rng: np.random.Generator) -> np.ndarray:
        """As many clips as there are, each as often as 1 / (clips of its rarest kind), but for rounding."""
        kinds = self.relation.kinds[self.clips]
        names, counts = np.unique(kinds[kinds != NONE], return_counts=True)
        rarity = np.where(
            kinds == NONE, 0, 1 / counts[np.searchsorted(names, kinds).clip(max=len(names) - 1)]
        )
        order = rng.permutation(len(kinds))
        share = rarity.max(1)[order].cumsum()
        ends = np.floor(share / share[-1] * len(kinds) + rng.random())  # systematic sampling
        return np.repeat(self.clips[order], np.diff(ends, prepend=0).astype(int))

    def _spread(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random order in which the clips of one kind are spread evenly: every batch has negatives."""
        kind = self.relation.kinds[clips, 0]
        shuffled = rng.permutation(len(kind))
        counts = np.bincount(kind - kind.min())
        seen = np.zeros_like(counts)
        key = np.empty(len(kind))
        offset = rng.random(len(counts))
        for i in shuffled:
            k = kind[i] - kind.min()
            key[i] = (seen[k] + offset[k]) / counts[k]
            seen[k] += 1
        return np.argsort(key, kind="stable")


class Singles(Sampler):
    """Batches of clips without pairs, for what is learnt of each clip alone; each window at its own place."""

    def _batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        none = np.full(len(clip), NONE)
        return Batch(clip, rng.random(len(clip)), none, none, np.empty((0, 0), bool), seed)


def assignment(forbidden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random permutation that takes as few forbidden places as can be: (B, B) bool to (B,)."""
    cost = rng.random(forbidden.shape) + forbidden * float(2 * len(forbidden))
    return linear_sum_assignment(cost)[1]


def balanced(
    clips: np.ndarray, relation: Relation, seed: int, block: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs for reporting, half of them matching: each clip's picture once with a sound that matches it and
    once with one that does not; a clip for which there is no such sound is left out.

    Returns sound, picture (places in `clips`) and match (bool). `block`: pairs are made inside so many clips.
    """
    place = {int(c): i for i, c in enumerate(clips)}
    sound, picture, match = [], [], []
    for batch in Sampler(clips, relation, block, seed):
        own = np.array([place[int(c)] for c in batch.clip])
        keep = (batch.wrong != NONE) & (batch.right != NONE)
        for chosen, matches in ((batch.right, True), (batch.wrong, False)):
            sound.append(own[chosen[keep]])
            picture.append(own[keep])
            match.append(np.full(int(keep.sum()), matches))
    return np.concatenate(sound), np.concatenate(picture), np.concatenate(match)


def cross(clips: np.ndarray, relation: Relation, most: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs for measuring while training: every clip with itself, and with up to `most` that do not match it;
    siamese: with those of `most` that match it and those that do not.

    Returns sound, picture (places in `clips`) and target (1 or 0), always the same ones. Shifts are spread
    evenly over the clips, so that each sound and each picture comes equally often but for those left out.
    """
    n = len(clips)
    shifts = np.unique(np.linspace(1, max(n - 1, 1), min(most, max(n - 1, 1))).astype(int))
    picture = np.tile(np.arange(n), len(shifts))
    sound = (picture + np.repeat(shifts, n)) % n
    differ = ~relation.same(clips[sound], clips[picture])
    right = [np.arange(n)] * 2
    if relation.siamese:
        match = relation.match(clips[sound], clips[picture])
        right = [sound[match], picture[match]]
    target = np.concatenate([np.ones(len(right[0])), np.zeros(int(differ.sum()))])
    return np.concatenate([right[0], sound[differ]]), np.concatenate([right[1], picture[differ]]), target
