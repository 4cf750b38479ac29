"""The rows of metrics/predictions.parquet: what a model predicts, beside what is known of the clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dataset.dataset import Dataset
from pipeline.metrics import predictions
from pipeline.metrics.retrieval import METRICS, Queries
from pipeline.store.formats import read_table


@dataclass(frozen=True)
class ClipColumns:
    """What is known of the clips of a data set, a value for each: lists of the same length.

    groups: names of the videos or persons. flags: None without data/quality.parquet.
    """

    clip_id: list[str]
    split: list[str]
    groups: list[str]
    subjects: list[str | None]
    labels: list[list[str]]
    flags: list[list[str]] | None

    @classmethod
    def read(cls, data: Dataset, label: str) -> "ClipColumns":
        """Read the columns of a data set. label: the parameter of that name: which labels."""
        quality = data.folder / "quality.parquet"
        return cls(
            clip_id=data.clip_id,
            split=data.split.tolist(),
            groups=_read_column(data.folder / "splits.parquet", "group", data.clip_id),
            subjects=data.subject,
            labels=data.class_names(label),
            flags=_read_column(quality, "flags", data.clip_id) if quality.exists() else None,
        )

    def pairs(
        self, audio: np.ndarray, video: np.ndarray, score: np.ndarray, is_match: np.ndarray
    ) -> pa.Table:
        """Return the rows of pairs, (n,) each. audio, video: indices in the data set of both clips."""
        columns = {"score": score.astype(float), "is_match": is_match}
        return predictions.make_table(self._describe("pair", "", audio, video) | columns)

    def queries(self, clips: np.ndarray, queries: Queries) -> pa.Table:
        """Return the rows of retrieval, those of one direction after the other.

        clips: (n,) indices in the data set of the clips that `queries` ranked.
        """
        tables = []
        in_order = np.argsort(queries.order)  # back from the order in which ties are broken
        for direction, values in queries.metrics.items():
            columns = dict(zip(METRICS, values[in_order].T, strict=True))
            ranks = queries.rank[direction][in_order]
            columns["rank"] = np.where(ranks > 0, ranks, np.nan)
            tables.append(predictions.make_table(self._describe("query", direction, clips) | columns))
        return predictions.concatenate(tables)

    def classes(
        self, clips: np.ndarray, p: np.ndarray, targets: np.ndarray, names: list[str], multilabel: bool
    ) -> pa.Table:
        """Return the rows of a classifier. clips: (n,) indices in the data set. p, targets: (n, classes)."""
        columns = predictions.class_columns(p, targets, names, multilabel)
        return predictions.make_table(self._describe("class", "", clips) | columns, names, multilabel)

    def trials(
        self, first: np.ndarray, second: np.ndarray, scores: dict[str, np.ndarray], is_same: np.ndarray
    ) -> pa.Table:
        """Return the rows of verification, those of one modality after the other.

        first, second: (t,) indices in the data set. scores: modality -> (t,). is_same: (t,) bool.
        """
        people = {
            "group": [self.subjects[clip] for clip in first],
            "other_group": [self.subjects[clip] for clip in second],
        }
        tables = []
        for modality, score in scores.items():
            columns = self._describe("trial", modality, first, second) | people
            tables.append(predictions.make_table(columns | {"score": score, "is_match": is_same}))
        return predictions.concatenate(tables)

    def _describe(
        self, kind: str, name: str, clips: np.ndarray, others: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Return the columns about the clips of rows. clips, others: (n,) indices in the data set."""
        columns: dict[str, Any] = {
            "kind": [kind] * len(clips),
            "name": [name] * len(clips),
            "split": [self.split[clip] for clip in clips],
        }
        values: dict[str, list[Any] | None] = {
            "clip_id": self.clip_id,
            "group": self.groups,
            "labels": self.labels,
            "flags": self.flags,
        }
        for prefix, side in (("", clips), ("other_", others)):
            for column, of_clip in values.items():
                if side is not None and of_clip is not None:
                    columns[f"{prefix}{column}"] = [of_clip[clip] for clip in side]
        return columns


def _read_column(path: Path, name: str, clip_ids: list[str]) -> list[Any]:
    """Return the value of a column of a table for each of these clips."""
    table = read_table(path, ["clip_id", name])
    by_clip = dict(zip(table["clip_id"].to_pylist(), table[name].to_pylist(), strict=True))
    return [by_clip[clip_id] for clip_id in clip_ids]
