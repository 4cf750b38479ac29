"""Counts of a clip table."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def count_clips(table: pa.Table) -> dict[str, Any]:
    """Count the clips, classes (different labels), clips without a label, and subjects of a clip table."""
    n_labels = pc.fill_null(pc.list_value_length(table["labels"]), 0)
    return {
        "clips": len(table),
        "classes": pc.count_distinct(pc.list_flatten(table["labels"])).as_py(),
        "unlabelled": pc.sum(pc.equal(n_labels, 0)).as_py() or 0,
        "subjects": pc.count_distinct(table["subject"]).as_py(),
    }


def count_labels(table: pa.Table) -> dict[str, int]:
    """Return the number of clips of each label in a clip table.

    The most frequent label is first; labels of the same frequency are in alphabetical order.
    """
    counts = pc.value_counts(pc.list_flatten(table["labels"])).to_pylist()
    by_frequency = sorted(counts, key=lambda count: (-count["counts"], count["values"]))
    return {count["values"]: count["counts"] for count in by_frequency}
