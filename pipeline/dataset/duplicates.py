"""Keep clips that are copies of each other in one split."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.errors import UserError
from pipeline.store.clip_table import SPLITS
from pipeline.store.formats import read_table
from pipeline.store.shards import row_numbers


def read_quality(clips: pa.Table) -> pa.Table:
    """Return data/quality.parquet. Raise UserError if it was made for other clips than the clip table."""
    quality = read_table(Path("data/quality.parquet"), ["clip_id", "status", "detail", "group"])
    if not quality["clip_id"].equals(clips["clip_id"]):
        raise UserError("data/quality.parquet: made for other clips than data/clips.parquet: run dvc repro")
    return quality


def join_groups(
    clips: pa.Table, groups: pa.DictionaryArray, quality: pa.Table, source_splits: pa.ChunkedArray
) -> pa.DictionaryArray:
    """Return the group of each clip after groups that have copies in common became one.

    It has the name of the one whose clip comes first. Groups stay as they are if the source puts some of them
    into different splits: a published split is not changed.
    clips: the clip table. groups: names of videos or people. quality: data/quality.parquet. source_splits: of
    each clip, or null.
    """
    first = row_numbers(clips, quality["group"]).to_numpy(zero_copy_only=False)  # NaN where there is no copy
    copies = np.flatnonzero(~np.isnan(first))
    numbers, count = groups.indices.to_numpy(), len(groups.dictionary)
    if not len(copies):
        return groups
    edges = numbers[copies], numbers[first[copies].astype(int)]
    graph = coo_array((np.ones(len(copies), bool), edges), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    # The lowest and the highest split, as a number, that the source gives to the clips of each component.
    split_numbers = pc.fill_null(pc.index_in(source_splits, value_set=pa.array(SPLITS)), -1).to_numpy()
    has_split = split_numbers >= 0
    lowest, highest = np.full(count, len(SPLITS)), np.full(count, -1)
    np.minimum.at(lowest, component[numbers[has_split]], split_numbers[has_split])
    np.maximum.at(highest, component[numbers[has_split]], split_numbers[has_split])
    _, first_of_component = np.unique(component, return_index=True)  # groups are numbered by first appearance
    target = first_of_component[component]
    is_divided = (highest > lowest)[component]
    target[is_divided] = np.flatnonzero(is_divided)
    return groups.dictionary.take(pa.array(target[numbers])).dictionary_encode()


def count_divided(quality: pa.Table, splits: pa.ChunkedArray) -> int:
    """Return how many clips have a copy in another split. splits: of each clip, or null."""
    is_copy = pc.and_(pc.is_valid(quality["group"]), pc.is_valid(splits))
    table = pa.table({"group": quality["group"], "split": splits}).filter(is_copy)
    by_group = table.group_by("group").aggregate([("split", "count_distinct"), ("split", "count")])
    divided = by_group.filter(pc.greater(by_group["split_count_distinct"], 1))
    return pc.sum(divided["split_count"]).as_py() or 0
