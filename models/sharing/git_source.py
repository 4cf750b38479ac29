"""The origin of a model: its run in dvc.lock, its metrics, and its data."""

import csv
import json
import posixpath
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dvc.scm import SCM, SCMError
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import localfs

from models.sharing.load import MODEL
from models.weights import weights_digest
from pipeline.errors import UserError

PARAMS = "params.yaml"
PROJECT = (PARAMS, "stages")  # at the root of a project; the folder of a study has a params.yaml too
LOCKS = ("dvc.lock", "experiments/*/dvc.lock")
CLIPS = "data/clips.parquet"
DATA_METRICS = ("metrics/clips.json", "metrics/classes.csv")
EVALUATION = re.compile(r"metrics/evaluate\.json|experiments/[^/]+/metrics/[^/]+\.json")


@dataclass(frozen=True)
class Origin:
    """What a model was trained on, with which parameters, and its metrics.

    metrics: as in metrics/evaluate.json. no_metrics: why there are none. params: key -> value, of the stage
    that trained it. data: `source`, and the counts of metrics/clips.json. labels: of the data. revision: the
    commit of the project in Git.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    no_metrics: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    revision: str = ""

    @classmethod
    def find(cls, folder: str | Path) -> "Origin":
        """Return the origin of the model in `folder`: in a project, or a copy of its checkpoints.

        It has only what the hashes in dvc.lock prove to belong to this model.
        """
        root = next(
            (p for p in Path(folder).resolve().parents if all((p / x).exists() for x in PROJECT)), None
        )
        if root is None:
            return cls(no_metrics="the model is in no project")
        stages, path = _read_locks(root), _project_path(root, Path(folder))
        revision, model_hash = _revision(root), _digest(root / path)
        training = next((s for s in stages.values() if s.outs.get(path) == model_hash), None)
        if training is None:
            return cls(no_metrics="dvc.lock has no run that trained this model", revision=revision)
        evaluations = [
            root / out
            for stage in stages.values()
            if (stage.deps | stage.outs).get(path) == model_hash
            for out, digest in stage.outs.items()
            if EVALUATION.fullmatch(out) and digest == _digest(root / out)
        ]
        metrics = _read_json(evaluations[0]) if evaluations else {}
        no_metrics = "" if metrics else "this model was not evaluated: dvc repro evaluate"
        data: dict[str, Any] = {}
        labels: list[str] = []
        clips = stages.get("clips")
        if clips and training.deps.get(CLIPS) == clips.outs.get(CLIPS):
            counts, classes = (root / name for name in DATA_METRICS)
            if clips.outs.get(DATA_METRICS[0]) == _digest(counts):
                data = {"source": clips.params.get("data.source")} | _read_json(counts)
            if clips.outs.get(DATA_METRICS[1]) == _digest(classes):
                with open(classes, newline="", encoding="utf-8") as f:
                    labels = sorted(row["label"] for row in csv.DictReader(f))
        return cls(metrics, no_metrics, training.params, data, labels, revision)


@dataclass(frozen=True)
class _Stage:
    """A stage in dvc.lock. deps, outs: path -> DVC's hash. params: key -> value."""

    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


def _read_locks(root: Path) -> dict[str, _Stage]:
    """Read all dvc.lock files: name -> stage; a stage of a study is named `folder/name`."""
    stages = {}
    for lock in (path for pattern in LOCKS for path in sorted(root.glob(pattern))):
        folder = lock.parent.relative_to(root).as_posix()
        try:
            entries = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"]
            for name, entry in entries.items():
                paths = {
                    kind: {_in_root(folder, x["path"]): x.get("md5", "") for x in entry.get(kind, [])}
                    for kind in ("deps", "outs")
                }
                # A stage of a study also has parameters in other files than params.yaml.
                params = {
                    key: value
                    for path, values in entry.get("params", {}).items()
                    if _in_root(folder, path) == PARAMS
                    for key, value in values.items()
                }
                stages[_in_root(folder, name)] = _Stage(**paths, params=params)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as e:
            name = lock.relative_to(root)
            raise UserError(f"{lock}: not a dvc.lock ({type(e).__name__}): git checkout {name}") from None
    return stages


def _in_root(folder: str, path: str) -> str:
    """Convert a path relative to `folder` to one relative to the project's root."""
    return posixpath.normpath(posixpath.join(folder, path))


def _project_path(root: Path, folder: Path) -> str:
    """Return the folder's path in the project, or that of the checkpoints if it is a copy of them."""
    try:
        if weights_digest(folder) == weights_digest(root / MODEL):
            return MODEL
    except UserError:
        pass  # one of them does not exist
    return folder.resolve().relative_to(root).as_posix()


def _digest(path: Path) -> str:
    """Return DVC's hash of a file or a folder; empty if it does not exist."""
    if not path.exists():
        return ""
    with tempfile.TemporaryDirectory() as temporary:
        _, _, result = build(HashFileDB(localfs, temporary), str(path), localfs, "md5", dry_run=True)
    return result.hash_info.value or ""


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _revision(root: Path) -> str:
    try:
        with SCM(str(root), search_parent_directories=True) as git:
            return git.get_rev() + (" with local changes" if git.is_dirty() else "")
    except SCMError:
        return ""
