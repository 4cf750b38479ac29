"""Counts of a clip table."""

from collections import Counter
from typing import Any

import pyarrow as pa


def describe(table: pa.Table) -> dict[str, Any]:
    """Return the numbers of clips, classes, clips without a label, and subjects."""
    labels = table["labels"].to_pylist()
    return {
        "clips": len(table),
        "classes": len({label for clip in labels for label in clip or []}),
        "unlabelled": sum(not clip for clip in labels),
        "subjects": len(set(table["subject"].to_pylist()) - {None}),
    }


def classes(table: pa.Table) -> dict[str, int]:
    """Return the number of clips of each label, the most frequent label first."""
    counts = Counter(label for clip in table["labels"].to_pylist() for label in clip or [])
    return dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))
