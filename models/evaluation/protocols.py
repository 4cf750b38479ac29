"""Evaluation of a trained model by published protocols (pipeline/metrics/protocols)."""

from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.evaluation.protocol_checks import check_task, read_splits
from models.evaluation.protocol_outputs import OUTPUTS
from models.evaluation.result import ProtocolSettings
from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Options, Protocol, Subset
from pipeline.metrics.protocols._selection import Selection, check_overlap, read_listing, select
from pipeline.store.shards import INDEX, read_index
from pipeline.store.status import OK


def evaluate(
    model: Model, data: Dataset, settings: ProtocolSettings, bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Evaluate a model by protocols: return the name of each -> its metrics, as the protocol defines them.

    The metrics begin with the clips: `clips`, `published` or `test split`; `n_listed` of the published list,
    `n_missing` of them and why (`missing`), and `n_training` of those that the model has learnt from.
    Raises UserError if the model does not compute what a protocol needs, or has learnt from its test clips.
    """
    results = {}
    row_numbers = {clip_id: i for i, clip_id in enumerate(data.clip_id)}
    rows_by_id = {row["clip_id"]: row for row in settings.rows}
    splits = read_splits(data)
    options = Options(bootstrap, seed, settings.windows, settings.similarity, settings.frames)
    for name in settings.names:
        protocol = protocols.get(name)
        check_task(name, protocol, model.module.evaluations)
        listing = read_listing(protocol, settings.lists)
        check_overlap(protocol, name, listing, settings.rows, splits, settings.allow_overlap)
        selection = select(protocol, listing, settings.rows, splits, _reasons(data) if listing else {})
        if not selection.clip_ids:
            raise UserError(
                f"evaluate.protocols: {name}: no clip to evaluate: none of the test split has its truth"
                " (labels, people or boxes), or none of the published clips is usable"
            )
        print(f"evaluate: {name}: {_describe(selection, protocol, settings.lists)}")
        clips = np.array([row_numbers[clip_id] for clip_id in selection.clip_ids])
        rows = [rows_by_id[clip_id] for clip_id in selection.clip_ids]
        truth = [
            protocol.own_truth(row) if selection.listing is None else selection.listing.truth[name]
            for name, row in zip(selection.ids, rows, strict=True)
        ]
        extra = selection.listing.extra if selection.listing else None
        subset = Subset(selection.ids, truth, data.group[clips].tolist(), extra, rows)
        outputs = OUTPUTS[protocol.needs](model, data, clips, options)
        results[name] = selection.describe() | protocol.evaluate(outputs, subset, options)
    return results


def _reasons(data: Dataset) -> dict[str, str]:
    """Return clip id -> why it is not usable: the status of its sound or picture."""
    reasons: dict[str, str] = {}
    folders = (data.folder / "spectrogram", data.folder / "frames")
    for folder in (path for path in folders if (Path(path) / INDEX).exists()):
        index = read_index(folder, ["clip_id", "status"])
        for clip_id, status in zip(index["clip_id"].to_pylist(), index["status"].to_pylist(), strict=True):
            if status not in (OK, None):
                reasons.setdefault(clip_id, status)
    return reasons


def _describe(selection: Selection, protocol: Protocol, lists: str) -> str:
    """Return which clips are evaluated, in one line."""
    n = len(selection.ids)
    if selection.listing is None:
        is_there = protocol.find_list(lists) is not None
        reason = "none of its clips is in the data" if is_there else f"no {protocol.lists[0]} in {lists}"
        return f"the {n} clips of the test split ({reason})"
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(selection.missing.items()))
    learnt = f"; {selection.n_training} of them were learnt from" if selection.n_training else ""
    return (
        f"{n} of the {len(selection.listing.truth)} published clips"
        + (f" ({counts})" * bool(counts))
        + learnt
    )
