"""Counts of a clip table."""

from collections import Counter
from typing import Any

import pyarrow as pa


def count_clips(table: pa.Table) -> dict[str, Any]:
    """Count the clips, classes (different labels), clips without a label, and subjects of a clip table."""
    labels_by_clip = table["labels"].to_pylist()
    return {
        "clips": len(table),
        "classes": len(count_labels(table)),
        "unlabelled": sum(not labels for labels in labels_by_clip),
        "subjects": len(set(table["subject"].to_pylist()) - {None}),
    }


def count_labels(table: pa.Table) -> dict[str, int]:
    """Return the number of clips of each label in a clip table.

    The most frequent label is first; labels of the same frequency are in alphabetical order.
    """
    counts: Counter[str] = Counter()
    for labels in table["labels"].to_pylist():
        counts.update(labels or [])
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
