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

NONE = -1  # no such clip, or no such class


@dataclass(frozen=True)
class Batch:
    """B clips, a window of each, and their pairs. Pair i has the picture of clip i and some clip's sound."""

    clip: np.ndarray  # (B,) indices into the data set
    position: np.ndarray  # (B,) float: of the window in its clip, 0 (the first window) to 1 (the last)
    positive: np.ndarray  # (B,) index in the batch of a sound that matches picture i, or NONE
    negative: np.ndarray  # (B,) index in the batch of a sound that does not match picture i, or NONE
    related: np.ndarray  # (B, B) bool: these two clips are never each other's negatives
    seed: tuple[int, ...]  # for augmentation


class Relation:
    """Decide which clips match: those of the same group, or those with a label in common.

    by_label: whether clips match by their labels. siamese: whether both sides of a pair are of one modality.
    classes: (n, most classes of a clip) int, the numbers of each clip's classes, padded with NONE. A class is
    a label, or a group if clips do not match by labels. groups: (n,) int, the number of each clip's group.
    """

    def __init__(
        self, groups: np.ndarray, labels: list[list[str]] | None = None, siamese: bool = False
    ) -> None:
        """Number the classes and groups of all clips.

        groups: (n,) any hashable. labels: of each clip, for `category`; None for `clip`. siamese: both sides
        of a pair are of one modality, so that a clip does not match itself.
        """
        self.by_label, self.siamese = labels is not None, siamese
        class_names = [[group] for group in groups] if labels is None else labels
        class_numbers: dict = {}  # name -> number
        width = max((len(names) for names in class_names), default=1)
        self.classes = np.full((len(class_names), max(width, 1)), NONE)
        for i, names in enumerate(class_names):
            for j, name in enumerate(names):
                self.classes[i, j] = class_numbers.setdefault(name, len(class_numbers))
        self.groups = np.unique(np.asarray(groups), return_inverse=True)[1]

    def share_label(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips share a label, or if they do not match by labels, their group.

        a, b: clip indices, broadcast against each other. Returns bool of their common shape.
        """
        # Compare each class of one clip with each class of the other.
        classes_a, classes_b = self.classes[a][..., :, None], self.classes[b][..., None, :]
        return ((classes_a == classes_b) & (classes_a != NONE)).any((-2, -1))

    def match(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips may form a matching pair.

        a, b: clip indices, broadcast against each other. Returns bool of their common shape.
        """
        return self.share_label(a, b) & (a != b) if self.siamese else self.share_label(a, b)

    def related(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return whether clips cannot be each other's negatives: they share a label or their group.

        a, b: clip indices, broadcast against each other. Returns bool of their common shape.
        """
        return self.share_label(a, b) | (self.groups[a] == self.groups[b])


def build_relation(
    pairing: str, groups: np.ndarray, labels: list[list[str]], siamese: bool = False
) -> Relation:
    """Return which clips match, by the parameter `pairing`: "clip" or "category".

    groups: (n,) clips of one group are never each other's negatives. labels: of each clip. siamese: whether
    both sides of a pair are of one modality; without effect for "clip", where a clip matches itself. Raises
    UserError for "category" if a clip has no label, or if there are fewer than two different labels.
    """
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
    """Iterate over the batches of an epoch, which `set_epoch` selects.

    clips: (n,) indices of the clips to sample from, at least 2. relation: decides which clips of the whole
    data set match. The batches of an epoch differ by at most one clip in size, and none is larger than
    `batch_size`; each clip occurs once. With `class_balanced`, each class occurs equally often instead (a
    clip with several classes counts for its rarest one): clips of rare classes are repeated, and some of
    frequent classes are omitted.

    rank, world_size: number of this process, and of all processes, in distributed training. Process r yields
    the batches r, r + world_size, ...; all processes get the same number of batches. Together these are the
    epoch. n_batches: of this process.
    """

    def __init__(
        self,
        clips: np.ndarray,
        relation: Relation,
        batch_size: int,
        seed: int,
        class_balanced: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.clips = np.asarray(clips)
        self.relation = relation
        self.seed = seed
        self.class_balanced = class_balanced
        self.rank = rank
        self.world_size = world_size
        # Batches of nearly equal size: a small last batch makes batch norm and losses over the batch
        # unreliable. A batch has at least two clips.
        n_batches = min(math.ceil(len(clips) / (batch_size * world_size)), len(clips) // (2 * world_size))
        self.n_batches = max(n_batches, 1)
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_batches

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch, 0 or more, whose batches the next iteration yields."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng((self.seed, self.epoch))
        clips = self._resample_balanced(rng) if self.class_balanced else self.clips
        order = clips[self._spread_classes(clips, rng)]
        for number, clip in enumerate(np.array_split(order, self.n_batches * self.world_size)):
            # Also build the batches of other processes: all processes must draw the same random numbers.
            batch = self._build_batch(clip, rng, (self.seed, self.epoch, number))
            if number % self.world_size == self.rank:
                yield batch

    def _build_batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        """Return the batch of the clips (B,), with random pairs. seed: for its augmentation."""
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
        """Sample n clips; a clip's expected count is proportional to 1 / (clips of its rarest class).

        This is systematic sampling: the weights of the clips lie side by side on a line, and a clip is taken
        as often as one of n equally spaced points is in its part of the line.
        """
        classes = self.relation.classes[self.clips]  # (n, most classes of a clip)
        class_numbers, class_sizes = np.unique(classes[classes != NONE], return_counts=True)
        class_rows = np.searchsorted(class_numbers, classes).clip(max=len(class_numbers) - 1)
        rarity = np.where(classes == NONE, 0, 1 / class_sizes[class_rows])
        order = rng.permutation(len(classes))
        weight_ends = rarity.max(1)[order].cumsum()
        point_ends = np.floor(weight_ends / weight_ends[-1] * len(classes) + rng.random())
        return np.repeat(self.clips[order], np.diff(point_ends, prepend=0).astype(int))

    def _spread_classes(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a random order of the clips that spreads those of each class evenly: every batch has
        negatives.

        clips: (n,) indices into the data set. Returns indices into `clips`, (n,). The clips of a class get
        keys at equal distances from 0 to 1, from a random start on; the order is that of the keys.
        """
        first_class = self.relation.classes[clips, 0]
        class_numbers = first_class - first_class.min()  # from 0 on; NONE is a class here
        shuffled = rng.permutation(len(class_numbers))
        class_sizes = np.bincount(class_numbers)
        next_in_class = np.zeros_like(class_sizes)
        keys = np.empty(len(class_numbers))
        offsets = rng.random(len(class_sizes))
        for i in shuffled:
            k = class_numbers[i]
            keys[i] = (next_in_class[k] + offsets[k]) / class_sizes[k]
            next_in_class[k] += 1
        return np.argsort(keys, kind="stable")


class UnpairedSampler(Sampler):
    """Iterate over batches of clips without pairs, for losses of each clip alone.

    Each window is at its own random position.
    """

    def _build_batch(self, clip: np.ndarray, rng: np.random.Generator, seed: tuple[int, ...]) -> Batch:
        """Return the batch of the clips (B,), without pairs. seed: for its augmentation."""
        none = np.full(len(clip), NONE)
        return Batch(clip, rng.random(len(clip)), none, none, np.empty((0, 0), bool), seed)


def assign_randomly(forbidden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random permutation (B,) with as few forbidden entries as possible.

    forbidden: (B, B) bool; element i of the permutation should not be j if forbidden[i, j].
    """
    # One forbidden entry costs more than all random costs together.
    cost = rng.random(forbidden.shape) + forbidden * float(2 * len(forbidden))
    return linear_sum_assignment(cost)[1]


def balanced_pairs(
    clips: np.ndarray, relation: Relation, seed: int, block: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of a sound and a picture for reporting, half of them matching.

    Each clip's picture occurs once with a sound that matches it and once with one that does not; clips
    without such a sound are left out.
    clips: (n,) indices into the data set. block: pairs are formed inside blocks of at most so many clips.
    Returns the indices into `clips` of the sounds (pairs,) and of the pictures (pairs,), and is_match
    (pairs,).
    """
    row_of_clip = {int(clip): row for row, clip in enumerate(clips)}
    audio_blocks, video_blocks, match_blocks = [], [], []
    for batch in Sampler(clips, relation, block, seed):
        rows = np.array([row_of_clip[int(clip)] for clip in batch.clip])
        has_both = (batch.negative != NONE) & (batch.positive != NONE)
        for partner, is_match in ((batch.positive, True), (batch.negative, False)):
            audio_blocks.append(rows[partner[has_both]])
            video_blocks.append(rows[has_both])
            match_blocks.append(np.full(int(has_both.sum()), is_match))
    return np.concatenate(audio_blocks), np.concatenate(video_blocks), np.concatenate(match_blocks)


def validation_pairs(
    clips: np.ndarray, relation: Relation, max_partners: int = 32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of a sound and a picture for validation: every clip with itself, and with unrelated clips.

    Each picture i is paired with the sounds i + shift, for up to `max_partners` shifts that are spread evenly
    over the clips. So each sound and each picture occurs equally often, except that related pairs are left
    out. In a siamese relation, the matching pairs among these take the place of each clip with itself.
    clips: (n,) indices into the data set. Returns the indices into `clips` of the sounds (pairs,) and of the
    pictures (pairs,), and target (pairs,), 1 for matching pairs and 0 for others. There is no randomness.
    """
    n = len(clips)
    max_shift = max(n - 1, 1)
    shifts = np.unique(np.linspace(1, max_shift, min(max_partners, max_shift)).astype(int))
    video = np.tile(np.arange(n), len(shifts))
    audio = (video + np.repeat(shifts, n)) % n
    is_unrelated = ~relation.related(clips[audio], clips[video])
    positive_audio = positive_video = np.arange(n)
    if relation.siamese:
        is_match = relation.match(clips[audio], clips[video])
        positive_audio, positive_video = audio[is_match], video[is_match]
    target = np.concatenate([np.ones(len(positive_audio)), np.zeros(int(is_unrelated.sum()))])
    return (
        np.concatenate([positive_audio, audio[is_unrelated]]),
        np.concatenate([positive_video, video[is_unrelated]]),
        target,
    )
