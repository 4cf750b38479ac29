"""Select some of the clips of a list at random, so that a higher limit only adds clips."""

import hashlib


def select_rows(rows: list[dict], per_class: int | None, n_clips: int | None, seed: int) -> list[dict]:
    """Return at most `per_class` rows of each label and split, and `n_clips` in total; None: no limit.

    They are selected at random, in the order of a hash, so that a higher limit only adds rows. The result is
    in the order of `rows`, which are rows of the clip table.
    """

    def hash_row(row: dict) -> bytes:
        return hashlib.sha256(f"{seed}:{row['clip_id']}".encode()).digest()

    candidates = sorted(rows, key=hash_row)
    if per_class:
        candidates = _limit_classes(candidates, per_class)
    clip_ids = {row["clip_id"] for row in candidates[:n_clips]}
    return [row for row in rows if row["clip_id"] in clip_ids]


def _limit_classes(rows: list[dict], per_class: int) -> list[dict]:
    """Return the rows that are among the first `per_class` rows of each of their labels, by split.

    Rows that are left out count too: so whether a row is in the result does not depend on other limits.
    """
    counts: dict[tuple[str, str | None], int] = {}  # (label, split) -> rows so far
    selected_rows = []
    for row in rows:
        ranks = []
        for label in row["labels"]:
            key = label, row["split"]
            counts[key] = counts.get(key, 0) + 1
            ranks.append(counts[key])
        if max(ranks) <= per_class:
            selected_rows.append(row)
    return selected_rows


def split_conflicts(rows: list[dict]) -> list[dict]:
    """Return the rows whose video also has rows in a split that is more important: test, val, then the rest.

    Some published splits have videos that are in several of them. Without these rows, every video is in one
    split, and the published test split is complete. rows: of the clip table, with `video_id`.
    """
    ranks = {"test": 2, "val": 1}
    highest: dict[str, int] = {}  # video -> rank of its most important split
    for row in rows:
        rank = ranks.get(row["split"], 0)
        highest[row["video_id"]] = max(highest.get(row["video_id"], 0), rank)
    return [row for row in rows if ranks.get(row["split"], 0) < highest[row["video_id"]]]
