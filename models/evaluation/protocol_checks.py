"""Checks of published protocols before a model is trained for them.

They are apart from the evaluation, whose imports a training does not need.
"""

from typing import Any

from pipeline.dataset.dataset import Dataset
from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import MAPS, PROBABILITIES, SEGMENTS, SHARED_WINDOWS, Protocol
from pipeline.metrics.protocols._selection import check_overlap, read_listing
from pipeline.store import clip_table

# What a protocol needs -> the evaluations of tasks (`Task.evaluations`) of which a model must have one.
EVALUATIONS = {
    SHARED_WINDOWS: ("pairs",),
    PROBABILITIES: ("classes",),
    SEGMENTS: ("classes", "pairs"),
    MAPS: ("pairs",),
}
ADVICE = {"pairs": "task: matching or pretraining", "classes": "task: classification"}


def check_training(params: Any, evaluations: tuple[str, ...], data: Dataset) -> None:
    """Raise UserError if protocols cannot be evaluated, before the model is trained.

    params: the content of params.yaml. evaluations: of the task that is evaluated in the end.
    """
    names, allowed = params.evaluate.protocols, params.evaluate.allow_overlap
    lists = params.data.subset_lists
    if not names:
        return
    rows, splits = clip_table.read(data.folder / "clips.parquet").to_pylist(), read_splits(data)
    for name in names:
        protocol = protocols.get(name)
        check_task(name, protocol, evaluations)
        check_overlap(protocol, name, read_listing(protocol, lists), rows, splits, allowed)


def check_task(name: str, protocol: Protocol, evaluations: tuple[str, ...]) -> None:
    """Raise UserError if a task does not compute what a protocol needs. evaluations: of the task."""
    needed = EVALUATIONS.get(protocol.needs)
    if needed and not set(needed) & set(evaluations):
        advice = " or ".join(ADVICE[kind] for kind in needed)
        raise UserError(f"evaluate.protocols: {name} needs {protocol.needs}, which need {advice}")


def read_splits(data: Dataset) -> dict[str, str]:
    """Return clip id -> split, of the usable clips."""
    return dict(zip(data.clip_id, data.split.tolist(), strict=True))
