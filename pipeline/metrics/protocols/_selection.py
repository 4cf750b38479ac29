"""Which clips of a data set a protocol evaluates, and which of them a model was trained on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UserError
from pipeline.metrics.protocols._base import Listing, Protocol

LEARNING = ("train", "val")  # splits that train a model, or choose its epoch
UNKNOWN = "not in the data"  # why a published clip is missing


@dataclass(frozen=True)
class Selection:
    """The clips that a protocol evaluates, and what is missing of the published ones.

    clip_ids: of the n clips. ids: in the published list, (n,), or the clip ids. listing: the published list;
    None: the test split is used. missing: why a published clip cannot be evaluated -> how many. n_training:
    how many of these clips are in the training or the validation split.
    """

    clip_ids: list[str]
    ids: list[str]
    listing: Listing | None = None
    missing: dict[str, int] = field(default_factory=dict)
    n_training: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the facts about the clips for metrics/evaluate.json."""
        if self.listing is None:
            return {"clips": "test split"}
        n_listed = len(self.listing.truth)
        facts: dict[str, Any] = {"clips": "published", "n_listed": n_listed}
        facts["n_missing"] = n_listed - len(self.ids)
        if self.missing:
            facts["missing"] = dict(sorted(self.missing.items()))
        if self.n_training:
            facts["n_training"] = self.n_training
        return facts


def read_listing(protocol: Protocol, folder: str) -> Listing | None:
    """Read the published list of a protocol; None if it is not in `folder` (`data.subset_lists`)."""
    path = protocol.find_list(folder)
    return protocol.read(path) if path else None


def select(
    protocol: Protocol,
    listing: Listing | None,
    rows: Sequence[dict[str, Any]],
    splits: Mapping[str, str],
    reasons: Mapping[str, str],
) -> Selection:
    """Choose the clips: those of the published list that are there; without any, the test split,
    as far as its truth is known.

    rows: of the clip table. splits: clip id -> split, of the usable clips. reasons: clip id -> why the clip
    is not usable, of others.
    """
    clip_ids: dict[str, str] = {}  # id in the list -> clip id
    if listing is not None:
        for row in rows:
            for name in protocol.ids(row):
                if name in listing.truth:
                    clip_ids.setdefault(name, row["clip_id"])
    if listing is None or not clip_ids:
        test = [row for row in rows if splits.get(row["clip_id"]) == "test" and protocol.has_truth(row)]
        test_ids = [row["clip_id"] for row in test]
        return Selection(test_ids, test_ids)
    missing: dict[str, int] = {}
    ids = []
    for name in listing.truth:
        clip_id = clip_ids.get(name)
        if clip_id in splits:
            ids.append(name)
        else:
            reason = UNKNOWN if clip_id is None else reasons.get(clip_id, "not usable")
            missing[reason] = missing.get(reason, 0) + 1
    selected = [clip_ids[name] for name in ids]
    n_training = sum(splits[clip_id] in LEARNING for clip_id in selected)
    return Selection(selected, ids, listing, missing, n_training)


def check_overlap(
    protocol: Protocol,
    name: str,
    listing: Listing | None,
    rows: Iterable[dict[str, Any]],
    splits: Mapping[str, str],
    allowed: Iterable[str],
) -> None:
    """Raise UserError if a model learns from clips of a protocol's test list that must not be learnt from.

    name: of the protocol. rows: of the clip table. splits: clip id -> split, of the usable clips. allowed:
    `evaluate.allow_overlap`, names of protocols for which it may.
    """
    if listing is None or name in allowed:
        return
    counts = dict.fromkeys(LEARNING, 0)
    for row in rows:
        split = splits.get(row["clip_id"])
        if split in counts and protocol.is_listed(row, listing):
            counts[split] += 1
    if n := sum(counts.values()):
        raise UserError(
            f"evaluate.protocols: {name}: {n} clips of its test are learnt from ({counts['train']} train,"
            f" {counts['val']} choose the epoch): move them to the test split, or set"
            f" evaluate.allow_overlap: [{name}] to say so beside the result"
        )
